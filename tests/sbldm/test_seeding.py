import torch

from sbldm.seeding import derive_seed, generator, sample_noise

FIRST_BYTES = "65659f3e5099d094"  # printf '0:train:1' | sha256sum


def test_streams_differ_by_name_and_by_seed() -> None:
    seeds = {derive_seed(s, name, k) for s in range(5) for name in ("train", "sample") for k in range(50)}
    assert len(seeds) == 5 * 2 * 50


def test_a_stream_is_fixed_for_all_time() -> None:
    # The value is the first 8 bytes of sha256("0:train:1") shifted right by one: a change would break every resume.
    assert derive_seed(0, "train", 1) == int.from_bytes(bytes.fromhex(FIRST_BYTES), "big") >> 1


def test_noise_of_a_sample_does_not_know_its_batch() -> None:
    together = sample_noise(3, [4, 5, 6], (2, 3))
    torch.testing.assert_close(together[1], sample_noise(3, [5], (2, 3))[0], rtol=0, atol=0)


def test_noise_is_standard_normal() -> None:
    noise = sample_noise(0, range(200), (50,))
    # 10 000 draws: the mean has standard error 0.01, the variance 0.014
    assert abs(noise.mean()) < 0.04
    assert abs(noise.var() - 1) < 0.06


def test_global_randomness_is_left_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    sample_noise(1, [0], (3,))
    torch.rand(3, generator=generator(1, "any"))
    torch.testing.assert_close(torch.rand(1), expected, rtol=0, atol=0)
