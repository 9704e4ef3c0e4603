from helpers.runner_rows import make_row

from runner.provenance import MAX_TAINT, Provenance, provenance_of


def test_all_rows_give_their_taint_and_the_first_the_chain() -> None:
    rows = (
        make_row("a", taint="web", chain_id="c-1", hop=2),
        make_row("b", taint="mail", chain_id="c-2", hop=5),
        make_row("c", taint="web"),
        make_row("d"),
    )

    assert provenance_of(rows) == Provenance("web,mail", "c-1", 2)


def test_nothing_carries_nothing_on() -> None:
    assert provenance_of(()) == Provenance(None, None, 0)


def test_taint_is_bounded() -> None:
    rows = tuple(make_row(f"m-{n}", taint=f"source-{n}" * 10) for n in range(50))

    assert len(provenance_of(rows).taint or "") == MAX_TAINT
