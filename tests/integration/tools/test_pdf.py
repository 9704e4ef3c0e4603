import asyncio
from pathlib import Path

import pytest

from runner.toolbox.base import DocumentPart, ToolResult
from runner.tools.files import pdf
from runner.tools.files.opening import FileProblemError
from runner.tools.files.pdf import Poppler, read_range, shown_pdf

NONE = Poppler(None, None)


def document(*pages: str) -> bytes:
    """A small PDF with one line of text on each page."""
    kids = " ".join(f"{3 + 2 * number} 0 R" for number in range(len(pages)))
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    objects = ["<< /Type /Catalog /Pages 2 0 R >>"]
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>")
    for number, text in enumerate(pages):
        drawn = f"BT /F1 24 Tf 72 700 Td ({text}) Tj ET"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {4 + 2 * number} 0 R"
            f" /Resources << /Font << /F1 {font} >> >> >>"
        )
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
    data, places = b"%PDF-1.4\n", []
    for number, text in enumerate(objects, start=1):
        places.append(len(data))
        data += f"{number} 0 obj\n{text}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    count, start = len(objects) + 1, len(data)
    trailer = f"trailer\n<< /Size {count} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"
    return data + f"xref\n0 {count}\n0000000000 65535 f \n{table}{trailer}".encode()


def program(folder: Path, name: str, text: str) -> str:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return str(file)


def show(path: Path, pages: str = "", poppler: Poppler = NONE) -> ToolResult:
    return asyncio.run(shown_pdf(path, pages, poppler))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.pdf"
    path.write_bytes(document("one", "two"))
    return path


def test_a_document_is_shown_whole(file: Path) -> None:
    (part,) = show(file).parts

    assert isinstance(part, DocumentPart)
    assert part.title == "a.pdf"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (document("x")[:-30], "damaged or not complete"),
        (document("x").replace(b"/Size", b"/Encrypt 9 0 R /Size"), "protected by a password"),
        (b"%PDF-1.4" + b"\0" * (pdf.MAX_SHOWN_BYTES + 1), "more than 20 MB. Read it in parts"),
    ],
    ids=["cut off", "locked", "too large"],
)
def test_what_no_endpoint_would_take_is_told(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "a.pdf").write_bytes(data)

    result = show(tmp_path / "a.pdf")

    assert result.is_error
    assert said in result.text


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("echo 'Pages:          101'", "it has 101 pages, and 100 can be shown"),
        ("echo 'Command Line Error: Incorrect password' >&2; exit 1", "protected by a password"),
        ("echo 'Syntax Error' >&2; exit 1", "damaged or not complete"),
    ],
    ids=["too long", "locked", "damaged"],
)
def test_the_program_of_the_image_is_asked_first(file: Path, answer: str, said: str) -> None:
    info = program(file.parent, "pdfinfo", answer)

    result = show(file, poppler=Poppler(info, None))

    assert result.is_error
    assert said in result.text


def test_pages_come_as_text(file: Path) -> None:
    text = program(file.parent, "pdftotext", r'echo "$@"; printf "\fsecond\n\n\f"')

    shown = show(file, "2-3", Poppler(None, text)).text

    assert shown == (
        f"{file}:\n--- page 2 ---\n-f 2 -l 3 -layout -enc UTF-8 {file} -\n\n--- page 3 ---\nsecond"
    )


def test_many_pages_are_read_some_at_a_time(file: Path) -> None:
    text = program(
        file.parent, "pdftotext", r'echo "$@"; for x in $(seq 50); do printf "x\f"; done'
    )

    for pages in ("1-", "1-1000"):
        shown = show(file, pages, Poppler(None, text)).text
        assert "-f 1 -l 50" in shown
        assert shown.endswith("[up to page 50; 50 pages at a time]")


def test_a_flood_of_text_is_cut(file: Path) -> None:
    text = program(file.parent, "pdftotext", "yes")

    shown = show(file, "1", Poppler(None, text)).text

    assert len(shown) < pdf.MAX_CHARACTERS + 300
    assert shown.endswith("[cut here; ask for fewer pages]")


def test_pages_without_text_are_told_with_the_next_step(file: Path) -> None:
    text = program(file.parent, "pdftotext", r'printf "\f"')

    shown = show(file, "7", Poppler(None, text))

    assert not shown.is_error
    assert "pdftoppm -png -r 100 -f 7 -l 7" in shown.text


def test_a_program_that_fails_or_is_not_there_is_told(file: Path) -> None:
    broken = program(file.parent, "pdftotext", "echo 'Wrong page range' >&2; exit 1")

    assert "Wrong page range" in show(file, "9", Poppler(None, broken)).text
    assert "no pdftotext; leave pages out" in show(file, "9").text
    with pytest.raises(FileProblemError, match="cannot be started"):
        show(file, "9", Poppler(None, str(file)))


def test_a_program_that_never_ends_is_ended(file: Path) -> None:
    text = program(file.parent, "pdftotext", "sleep 1000")

    with pytest.raises(FileProblemError, match=r"pdftotext took longer than 0\.2 s"):
        show(file, "1", Poppler(None, text, 0.2))


@pytest.mark.parametrize(
    ("pages", "wanted"),
    [("3", (3, 3)), (" 2 - 5 ", (2, 5)), ("4-", (4, None)), ("1-1", (1, 1))],
)
def test_ranges_of_pages(pages: str, wanted: tuple[int, int | None]) -> None:
    assert read_range(pages) == wanted


@pytest.mark.parametrize("pages", ["0", "5-2", "a", "1,2", "-3", "99999999", "1-2-3"])
def test_ranges_that_are_none(pages: str) -> None:
    with pytest.raises(FileProblemError, match="pages"):
        read_range(pages)
