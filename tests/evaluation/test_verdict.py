import itertools
from dataclasses import replace

import pytest

from evaluation.difference import IDENTICAL, Difference
from evaluation.verdict import find, judge, judge_all, tabulate_differences


def differ(name, point, reach, p, *, direction="lower", p_holm=None, patients=40, note=None, pair=("B", "A")):
    return Difference(
        name=name,
        first=pair[0],
        second=pair[1],
        point=point,
        low=None if reach is None else point - reach,
        high=None if reach is None else point + reach,
        level=0.95,
        p=p,
        direction=direction,
        n={"real": 200, "real_patients": patients},
        interval="difference -+ t x error",
        paired=False,
        p_holm=p_holm,
        note=note,
    )


def same(name):
    return replace(differ(name, 0.0, 0.0, 1.0), interval=IDENTICAL, p_holm=1.0)


FD = differ("fd_lite0", -12.3, 8.2, 0.001, p_holm=0.004)
KID = differ("kid_lite0", -0.02, 0.01, 0.002, p_holm=0.006)
SSIM = differ("ssim", 0.01, 0.03, 0.5, direction="higher", p_holm=0.5)
RECALL = differ("recall_lite0", -0.2, 0.1, 0.0001, direction="higher", p_holm=0.0002)
UNKNOWN = differ("sfd_lite0", float("nan"), None, None, note="200 rows for 1280 features: no interval covers")


def test_a_claim_leads_with_its_size_and_what_agrees_and_what_shows_nothing_follows():
    assert judge([FD, KID, SSIM]) == (
        "B is better than A by 12.3 [4.1, 20.5] fd_lite0 (p = 0.004 after Holm);"
        " kid_lite0 agrees; ssim: no difference that 40 patients can show."
    )


def test_the_other_order_says_worse_by_as_much():
    turned = [replace(each, first="A", second="B", point=-each.point, low=-each.high, high=-each.low) for each in (FD,)]
    assert judge(turned) == "A is worse than B by 12.3 [4.1, 20.5] fd_lite0 (p = 0.004 after Holm)."


def test_a_contradiction_is_said_first_and_loudly():
    sentence = judge([FD, RECALL, KID])
    assert sentence == (
        "CONTRADICTION: B is better than A by 12.3 [4.1, 20.5] fd_lite0 (p = 0.004 after Holm),"
        " but worse by 0.20 [0.10, 0.30] recall_lite0 (p < 0.001 after Holm); kid_lite0 agrees."
    )
    calm = replace(FD, first="C")
    assert judge_all([calm, FD, RECALL]) == (judge([FD, RECALL]), judge([calm]))


def test_no_claim_is_made_where_no_metric_shows_one():
    few = replace(SSIM, name="psnr", n={"real_patients": 31})
    assert judge([SSIM, few, UNKNOWN, same("pd_lite0")]) == (
        "B against A: ssim: no difference that 40 patients can show; psnr: no difference that 31 patients can show;"
        " sfd_lite0: cannot tell (200 rows for 1280 features: no interval covers); pd_lite0: identical."
    )


def test_identical_models_are_called_so():
    assert judge([same("ssim"), same("fd_lite0")]) == "B and A are identical in every metric."


def test_what_holm_takes_back_is_not_claimed():
    assert find(differ("kid", -2.0, 1.0, 0.03)) == "better"
    assert find(differ("kid", -2.0, 1.0, 0.03, p_holm=0.3)) == "no difference"
    assert judge([differ("kid", -2.0, 1.0, 0.03)]) == "B is better than A by 2.0 [1.0, 3.0] kid (p = 0.03)."


@pytest.mark.parametrize("order", itertools.permutations([FD, RECALL, SSIM, UNKNOWN], 4))
def test_the_order_of_metrics_hides_nothing(order):
    sentence = judge(list(order))
    assert sentence.startswith("CONTRADICTION")
    for word in ("fd_lite0 (p", "recall_lite0 (p", "ssim: no difference", "sfd_lite0: cannot tell"):
        assert word in sentence


def test_the_table_says_each_finding_and_how_it_was_made():
    table = tabulate_differences("B against A", [FD, UNKNOWN, same("ssim")])
    assert [row[-1] for row in table.rows] == ["better", "cannot tell", "identical"]
    assert table.rows[0] == ("B - A", "fd_lite0 ↓", "-12.3 [-20.5, -4.1]", "0.001", "0.004", "better")
    assert table.rows[1][2:5] == ("—", "—", "—")
    assert table.header[2] == "difference [95 % interval]"
    assert "fd_lite0: difference -+ t x error; 200 real, 40 real patients." in table.caption
    assert "200 rows for 1280 features" in table.caption


def test_one_sentence_is_about_one_pair():
    with pytest.raises(ValueError, match="one pair, but got 2"):
        judge([FD, replace(FD, first="C")])


def test_a_metric_with_a_caution_neither_leads_nor_contradicts_where_another_claims():
    caution = "at this n it is biased"
    plug_in = differ("fd_lite0", 9.0, 2.0, 1e-5, p_holm=1e-4)
    plug_in = replace(plug_in, caution=caution)
    assert judge([plug_in, KID]) == (
        "B is better than A by 0.020 [0.010, 0.030] kid_lite0 (p = 0.006 after Holm);"
        " fd_lite0 says worse, but at this n it is biased."
    )
    assert judge([plug_in, SSIM]) == (
        "B is worse than A by 9.0 [7.0, 11.0] fd_lite0 (p < 0.001 after Holm; at this n it is biased);"
        " ssim: no difference that 40 patients can show."
    )
    assert judge([plug_in, replace(KID, point=0.02, low=0.01, high=0.03)]).endswith("; fd_lite0 agrees.")
    assert judge([plug_in, KID, RECALL]).startswith("CONTRADICTION: B is better")


def test_several_contradictions_are_all_told_and_metrics_treated_alike_share_a_caption():
    density = replace(RECALL, name="density_lite0")
    sentence = judge([FD, RECALL, density])
    assert "but worse by 0.20 [0.10, 0.30] recall_lite0 (p < 0.001 after Holm) and by 0.20" in sentence
    caption = tabulate_differences("B against A", [FD, KID, replace(FD, first="C")]).caption
    assert caption == "fd_lite0 and kid_lite0: difference -+ t x error; 200 real, 40 real patients."
