from threadpoolctl import threadpool_info, threadpool_limits

from evaluation.single_thread import single_thread


def threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_products_have_one_thread_inside_and_as_many_as_before_outside():
    with threadpool_limits(2, user_api="blas"):
        with single_thread():
            assert threads() == {1}
        assert threads() == {2}
