"""``kctl completion``: prints the code that a shell evaluates to complete kctl's command lines."""

from __future__ import annotations

from kubelab.kctl.command import Command, NoOptions
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.session import Session

# Each calls `kctl __complete WORD…` with the words up to the cursor. Lines of `candidate<TAB>description` come back,
# then `:4`, or `:0` where file names are candidates too (the protocol of kubectl's own completion).
BASH = r"""# bash completion for kctl                                 -*- shell-script -*-

__start_kctl()
{
    local cur words cword line directive candidates=()
    COMPREPLY=()
    if declare -F _get_comp_words_by_ref >/dev/null 2>&1; then
        _get_comp_words_by_ref -n "=:" cur words cword
    else
        cur=${COMP_WORDS[COMP_CWORD]} words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
    fi
    while IFS= read -r line; do
        case $line in
            :[0-9]*) directive=${line#:} ;;
            *) candidates+=("${line%%$'\t'*}") ;;
        esac
    done < <("${words[0]}" __complete "${words[@]:1:cword}" 2>/dev/null)
    local prefix=""
    if [[ $cur == -*=* ]]; then
        prefix=${cur%%=*}=
    fi
    local candidate
    for candidate in "${candidates[@]}"; do
        [[ $prefix$candidate == "$cur"* || $candidate == "$cur"* ]] && COMPREPLY+=("${candidate#"$prefix"}")
    done
    if [[ $directive == 4 ]]; then
        compopt +o default 2>/dev/null
    fi
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == */ ]]; then
        compopt -o nospace 2>/dev/null
    fi
}

complete -o default -F __start_kctl kctl
"""
ZSH = r"""#compdef kctl
compdef _kctl kctl

# zsh completion for kctl                                  -*- shell-script -*-

_kctl()
{
    local line directive
    local -a candidates
    while IFS= read -r line; do
        case $line in
            :[0-9]*) directive=${line#:} ;;
            *) candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
        esac
    done < <("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
    [[ ${#candidates} -gt 0 ]] && _describe -V 'completions' candidates
    [[ $directive == 0 ]] && _files
}

# don't run the completion function when being source-ed or eval-ed
if [ "$funcstack[1]" = "_kctl" ]; then
    _kctl
fi
"""
FISH = r"""# fish completion for kctl                                 -*- shell-script -*-

function __kctl_complete
    set -l words (commandline -opc) (commandline -ct)
    $words[1] __complete $words[2..-1] 2>/dev/null | string match -v -r '^:[0-9]+$'
end

function __kctl_no_files
    set -l words (commandline -opc) (commandline -ct)
    test ($words[1] __complete $words[2..-1] 2>/dev/null)[-1] = ":4"
end

complete -c kctl -e
complete -c kctl -n __kctl_no_files -f -a '(__kctl_complete)'
complete -c kctl -n 'not __kctl_no_files' -F
"""
SHELLS = {"bash": BASH, "fish": FISH, "zsh": ZSH}


def _completion(session: Session, args: tuple[str, ...], options: NoOptions) -> int:
    if len(args) != 1:
        wrong = "Shell not specified." if not args else "Too many arguments. Expected only the shell type."
        raise UsageProblem(wrong, session.command_path, hint="arguments")
    code = SHELLS.get(args[0])
    if code is None:
        raise UsageProblem(f'Unsupported shell type "{args[0]}".', session.command_path, hint="arguments")
    print(code, end="")
    return 0


COMPLETION = Command(
    "completion",
    run=_completion,
    options=NoOptions,
    about="Output shell completion code for the specified shell (bash, zsh, or fish). The shell code must be evaluated "
    "to provide interactive completion of kctl commands.  This can be done by sourcing it from the .bash_profile.",
    examples="""\
# Load the kctl completion code for bash into the current shell
source <(kctl completion bash)

# Write bash completion code to a file and source it from .bash_profile
kctl completion bash > ~/.kube/completion-kctl.bash.inc

# Load the kctl completion code for zsh into the current shell
source <(kctl completion zsh)

# Load the kctl completion code for fish into the current shell
kctl completion fish | source""",
    usage="kctl completion SHELL",
)
