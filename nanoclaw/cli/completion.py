"""``ncl completion bash|zsh|fish``: what a shell offers after ``ncl``, as a script for it.

Made from the registry; asks no host, neither now nor when it completes. All three scripts have the
same core: the words so far give the verbs, the flags, or the values of a flag.
"""

from collections.abc import Mapping

from contract.ncl_answer import INVALID_ARGS, unanswered
from contract.ncl_words import SENT_SWITCHES, SWITCHES, Typed
from nanoclaw.admin.registry import ArgumentSpec, Kind
from nanoclaw.cli.ncl_outline import CLIENT_OPTIONS, DRY_RUN, Outline, read_outline
from nanoclaw.cli.render import print_output, print_text
from nanoclaw.paths import HostPaths

SHELLS = ("bash", "zsh", "fish")

Table = Mapping[str, Mapping[str, str]]
"""Words so far, to what may follow with its description."""


def run_local(typed: Typed, paths: HostPaths) -> int:
    words = typed.positionals[1:]
    if len(words) != 1 or words[0] not in SHELLS:
        text = f"ncl: completion is for one of: {', '.join(SHELLS)}"
        return print_output(unanswered(INVALID_ARGS, text, typed))
    print_text(render_completion(words[0], read_outline()))
    return 0


def render_completion(shell: str, outline: Outline) -> str:
    following, flags, values = verbs_of(outline), flags_of(outline), values_of(outline)
    if shell == "fish":
        return _fill(_FISH, _fish_cases(following), _fish_cases(flags), _fish_cases(values))
    cases = (_sh_cases(table) for table in (following, flags, values))
    return _fill(_BASH if shell == "bash" else _ZSH, *cases)


def verbs_of(outline: Outline) -> Table:
    """From no words on: resources, then the words of verbs."""
    table: dict[str, dict[str, str]] = {"": {}}
    for section in outline.sections:
        table[""][section.plural] = section.description
    for line in outline.lines:
        for length in range(len(line.words)):
            before, word = " ".join(line.words[:length]), line.words[length]
            is_last = length == len(line.words) - 1
            described = table.setdefault(before, {})
            if is_last or word not in described:
                described.setdefault(word, line.help if is_last else f"{word} ...")
        if "|" in line.target:
            table[" ".join(line.words)] = dict.fromkeys(line.target.split("|"), line.help)
    return table


def flags_of(outline: Outline) -> Table:
    """Under "" stand those of the client, which follow everywhere."""
    table: dict[str, dict[str, str]] = {"": {item.flag: item.help for item in CLIENT_OPTIONS}}
    for line in outline.lines:
        flags = {flag: spec.help for spec in line.arguments for flag in _spellings(spec)}
        if line.mutating:
            flags[DRY_RUN.flag] = DRY_RUN.help
        if flags:
            table[" ".join(line.words)] = flags
    return table


def values_of(outline: Outline) -> Table:
    return {
        f"{' '.join(line.words)} {spec.flag}": dict.fromkeys(_values(spec), "")
        for line in outline.lines
        for spec in line.arguments
        if _values(spec)
    }


def _spellings(spec: ArgumentSpec) -> tuple[str, ...]:
    if spec.kind is Kind.BOOLEAN:
        return spec.flag, "--no-" + spec.flag.removeprefix("--")
    return (spec.flag,)


def _values(spec: ArgumentSpec) -> tuple[str, ...]:
    return spec.choices or (("true", "false") if spec.kind is Kind.BOOLEAN else ())


def _sh_cases(table: Table) -> str:
    """A line per candidate: the word, a tab, its description."""
    lines: list[str] = []
    for key, candidates in table.items():
        shown = " ".join(_sh_word(f"{word}\t{text}") for word, text in candidates.items())
        lines.append(f"        {_sh_word(key)}) printf '%s\\n' {shown} ;;")
    return "\n".join(lines)


def _sh_word(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _fish_word(text: str) -> str:
    """As in other shells, but a backslash means something inside the quotes."""
    return _sh_word(text.replace("\\", "\\\\"))


def _fish_cases(table: Table) -> str:
    lines: list[str] = []
    for key, candidates in table.items():
        shown = " ".join(_fish_word(f"{word}\t{text}") for word, text in candidates.items())
        lines += [f"        case {_fish_word(key)}", f"            printf '%s\\n' {shown}"]
    return "\n".join(lines)


def _fill(script: str, verbs: str, flags: str, values: str) -> str:
    switches = " ".join(sorted("--" + name for name in (*SWITCHES, *SENT_SWITCHES)))
    for mark, text in (
        ("@VERBS@", verbs),
        ("@FLAGS@", flags),
        ("@VALUES@", values),
        ("@SWITCHES@", switches),
    ):
        script = script.replace(mark, text)
    return script


_SH_CORE = """\
__ncl_verbs() {
    case "$1" in
@VERBS@
    esac
}
__ncl_flags() {
    case "$1" in
@FLAGS@
    esac
}
__ncl_values() {
    case "$1" in
@VALUES@
    esac
}
# Candidates for the last of the words, one per line with a tab and a description behind.
__ncl_candidates() {
    local typed='' flag='' before='' longest=''
    while [ $# -gt 1 ]; do
        before=''
        case "$1" in
            --) flag='' ;;
            --*=*|--no-*) flag='' ;;
            --*)
                flag="$1"
                case " @SWITCHES@ " in *" $1 "*) flag='' ;; esac
                before="$flag" ;;
            *)
                if [ -n "$flag" ]; then flag=''; else typed="${typed:+$typed }$1"; fi
                if [ -n "$(__ncl_flags "$typed")" ]; then longest="$typed"; fi ;;
        esac
        shift
    done
    case "$1" in
        -*) __ncl_flags "$longest"; [ -z "$longest" ] || __ncl_flags '' ;;
        *)
            if [ -n "$before" ]; then __ncl_values "$longest $before"
            else __ncl_verbs "$typed"; fi ;;
    esac
}
"""

_BASH = (
    """\
# Completion of ncl for bash: `ncl completion bash > ~/.local/share/bash-completion/completions/ncl`
"""
    + _SH_CORE
    + """\
_ncl() {
    local word="${COMP_WORDS[COMP_CWORD]}" candidate
    COMPREPLY=()
    while IFS= read -r candidate; do
        candidate="${candidate%%$'\\t'*}"
        case "$candidate" in "$word"*) COMPREPLY+=("$candidate") ;; esac
    done < <(__ncl_candidates "${COMP_WORDS[@]:1:COMP_CWORD}")
}
complete -o default -F _ncl ncl
"""
)

_ZSH = (
    """\
# Completion of ncl for zsh: `ncl completion zsh > ~/.ncl.zsh`, and `source ~/.ncl.zsh` in ~/.zshrc
# behind compinit. A file in $fpath would not do: zsh has an ncl of its own there (NEdit's).
"""
    + _SH_CORE
    + """\
_ncl() {
    local -a described
    local candidate
    while IFS= read -r candidate; do
        described+=("${${candidate%%$'\\t'*}//:/\\\\:}:${candidate#*$'\\t'}")
    done < <(__ncl_candidates "${(@)words[2,CURRENT]}")
    (( $#described )) && _describe ncl described
}
compdef _ncl ncl
"""
)

_FISH = """\
# Completion of ncl for fish: `ncl completion fish > ~/.config/fish/completions/ncl.fish`
function __ncl_verbs
    switch "$argv[1]"
@VERBS@
    end
end
function __ncl_flags
    switch "$argv[1]"
@FLAGS@
    end
end
function __ncl_values
    switch "$argv[1]"
@VALUES@
    end
end
# Candidates for the last of the words, one per line with a tab and a description behind.
function __ncl_candidates
    set -l words ''
    set -l flag ''
    set -l before ''
    set -l longest ''
    for word in $argv[1..-2]
        set before ''
        switch "$word"
            case -- '--*=*' '--no-*'
                set flag ''
            case '--*'
                set flag $word
                contains -- $word @SWITCHES@
                and set flag ''
                set before $flag
            case '*'
                if test -n "$flag"
                    set flag ''
                else
                    set words (string trim -- "$words $word")
                end
                set -l known (__ncl_flags "$words")
                test -n "$known"
                and set longest $words
        end
    end
    switch "$argv[-1]"
        case '-*'
            __ncl_flags "$longest"
            test -z "$longest"
            or __ncl_flags ''
        case '*'
            if test -n "$before"
                __ncl_values "$longest $before"
            else
                __ncl_verbs "$words"
            end
    end
end
function __ncl_complete
    set -l words (commandline -opc) (commandline -ct)
    test (count $words) -gt 1
    and __ncl_candidates $words[2..-1]
end
complete -c ncl -f -a '(__ncl_complete)'
"""
