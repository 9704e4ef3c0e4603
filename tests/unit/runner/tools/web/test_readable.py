from hypothesis import given, settings
from hypothesis import strategies as st

from runner.tools.web.readable import MAX_CHARS, readable_text

BASE = "https://example.org/dir/page"


def read(html: str) -> str:
    return readable_text(html, BASE)[1]


def test_the_title_is_told_apart() -> None:
    page = "<html><head><title> A  page </title></head><body>text</body></html>"

    assert readable_text(page, BASE) == (" A page ", "text")


def test_headings_and_paragraphs_stand_apart() -> None:
    assert read("<h1>One</h1><p>two\n  words<p>three<h3>Four</h3>") == (
        "# One\n\ntwo words\n\nthree\n\n### Four"
    )


def test_links_show_where_they_lead() -> None:
    assert read('<a href="../x?a=1&amp;b=2">here</a> and <a href="#top">up</a>') == (
        "here (https://example.org/x?a=1&b=2) and up"
    )


def test_links_that_run_something_are_plain_text() -> None:
    assert read('<a href="javascript:go()">go</a><a href="data:x">d</a>') == "god"


def test_lists_are_marked_numbered_and_nested() -> None:
    html = "<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul><ol><li>x<li>y</ol>"

    assert read(html) == "- a\n  - b\n- c\n\n1. x\n2. y"


def test_tables_have_a_line_per_row() -> None:
    html = "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>"

    assert read(html) == "a | b\n1 | 2"


def test_code_keeps_its_lines() -> None:
    assert read("<p>use <code>x</code></p><pre>a\n  b</pre>") == "use `x`\n\n```\na\n  b\n```"


def test_scripts_styles_and_pictures_are_left_out() -> None:
    html = "<style>p{}</style>a<script>if (1<2) {}</script><svg><p>no</p></svg>b<img alt='A dog'>"

    assert read(html) == "ab[image: A dog]"


def test_broken_markup_is_read_all_the_same() -> None:
    assert read("<p>a<b>c</i></p></p></div><li>d</ul><td>e") == "ac\n\n- d\n\ne"


def test_nesting_without_end_does_no_harm() -> None:
    text = read("<ul><li>x" * 5000 + "<div>" * 5000 + "end")

    assert text.endswith("end")


def test_a_page_without_end_is_cut() -> None:
    text = read("<p>word</p>" * 100_000)

    assert len(text) <= MAX_CHARS + 100
    assert text.endswith("[the page is longer]")


@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            ["<ul>", "</ul>", "<li>", "<ol>", "<a href='x'>", "</a>", "<pre>", "</pre>", "<td>",
             "<script>", "</script>", "<!--", "-->", "<", "&amp", "<title>", "</title>", "<code>",
             "<a href='http://[x'>", "<br/>", "<hr>", "</p>", "\x00", "<h2>", "</h2>"]
        )
        | st.text(max_size=10)
    ).map("".join)
)  # fmt: skip
def test_any_markup_is_read(html: str) -> None:
    title, text = readable_text(html, BASE)

    assert "\n\n\n" not in text
    assert len(title) <= 300
