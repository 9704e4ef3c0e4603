import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.containers.packages import PackageSet, listed, problem_of

GOOD = {
    "apt": ["jq", "g++", "libssl-dev", "python3.13", "0ad"],
    "npm": ["cowsay", "@scope/name", "a.b_c-d", "0x"],
    "pip": ["rich", "Zope.Interface", "ruamel_yaml"],
}
BAD = {
    "apt": ["", "-y", "libc6-", "jq=1.6", "jq/unstable", "JQ", "a b", "a;b", "$(id)", "a\nb"],
    "npm": ["", "-g", "../x", "@/x", "@a/", "a/b", "a@1", "https://x", "Cow", "@a/b/c", "a\nb"],
    "pip": ["", "-r", "rich==1", "rich[all]", "git+https://x", "./x", "a b", "é"],
}


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k, names in GOOD.items() for n in names])
def test_plain_names_can_be_installed(kind: str, name: str) -> None:
    assert problem_of(PackageSet.of(**{kind: [name]})) is None


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k, names in BAD.items() for n in names])
def test_options_versions_and_addresses_are_no_names(kind: str, name: str) -> None:
    problem = problem_of(PackageSet.of(**{kind: [name]}))

    assert problem is not None
    assert kind in problem


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=40), st.sampled_from(["apt", "npm", "pip"]))
def test_no_allowed_name_means_anything_to_a_shell_or_as_an_option(name: str, kind: str) -> None:
    packages = PackageSet.of(**{kind: [name]})

    if problem_of(packages) is None:
        ((_, names),) = [found for found in packages.by_kind() if found[1]]
        assert all(character not in " \t\n;&|$`'\"\\<>()*?[]{}~#!=," for character in names[0])
        assert names[0][0].isalnum() or names[0][0] == "@"


def test_too_many_packages_are_refused_in_numbers() -> None:
    assert problem_of(PackageSet.of(apt=[f"p{n}" for n in range(21)]), 20) is not None
    assert problem_of(PackageSet.of(apt=[f"p{n}" for n in range(20)]), 20) is None
    assert problem_of(PackageSet.of(apt=["a" * 215])) is not None


def test_equal_sets_are_equal_however_they_are_written() -> None:
    one = PackageSet.of(["b", "a", "a"], ["n"], ["Foo_Bar"])
    other = PackageSet.of(("a", "b"), ("n",), ("foo-bar", "foo.bar"))

    assert one == other
    assert len(one) == 4


def test_sum_covers_its_parts() -> None:
    stored, wanted = PackageSet.of(["jq"]), PackageSet.of(["curl"], ["cowsay"])

    both = stored.with_more(wanted)

    assert both == PackageSet.of(["curl", "jq"], ["cowsay"])
    assert both.covers(stored)
    assert both.covers(wanted)
    assert not stored.covers(wanted)
    assert listed(both) == "apt: curl, jq; npm: cowsay"
