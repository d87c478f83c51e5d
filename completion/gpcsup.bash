# bash completion for gpcsup: commands and options from here, units and groups from the running supervisor.

_gpcsup_names() {  # KEY of `gpcsup COMMAND --json` -> its values, one a line
    "${gpcsup[@]}" "$1" ${3:+$3} --json 2>/dev/null | grep -o "\"$2\": *\"[^\"]*\"" | sed 's/.*: *"\(.*\)"/\1/' | sort -u
}

_gpcsup() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command="" word index
    local gpcsup=(gpcsup)
    local commands="status start stop restart reload kill list tree ps top is-active attach run group hierarchy get set freeze thaw
        wait snapshot apply enable disable mask events log why analyze check beancounters poweroff reboot halt exit reexec"
    for ((index = 1; index < COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        case $word in
            --runtime) gpcsup+=("$word" "${COMP_WORDS[index + 1]}"); ((index++)) ;;
            --user | --system) gpcsup+=("$word") ;;
            -*) ;;
            *) command=$word; break ;;
        esac
    done
    COMPREPLY=()
    case $previous in
        --runtime) compopt -o dirnames; return ;;
        -s) mapfile -t COMPREPLY < <(compgen -W "HUP INT QUIT KILL USR1 USR2 TERM STOP CONT" -- "$current"); return ;;
    esac
    case $command in
        "") mapfile -t COMPREPLY < <(compgen -W "$commands --runtime --user --system --json --help --version" -- "$current") ;;
        status | start | stop | restart | reload | is-active | enable | disable | mask | log | why)
            mapfile -t COMPREPLY < <(compgen -W "$(_gpcsup_names list name)" -- "$current") ;;
        kill | ps) mapfile -t COMPREPLY < <(compgen -W "$(_gpcsup_names list name; _gpcsup_names group group list)" -- "$current")
            __ltrim_colon_completions "$current" ;;
        group)
            if [[ $previous == group ]]; then
                mapfile -t COMPREPLY < <(compgen -W "create remove list rename" -- "$current")
            else
                mapfile -t COMPREPLY < <(compgen -W "$(_gpcsup_names group group list)" -- "$current")
                __ltrim_colon_completions "$current"
            fi ;;
        hierarchy) mapfile -t COMPREPLY < <(compgen -W "create remove rebind list" -- "$current") ;;
        get | set | attach | freeze | thaw | wait)
            mapfile -t COMPREPLY < <(compgen -W "$(_gpcsup_names group group list)" -- "$current")
            __ltrim_colon_completions "$current" ;;
        check) compopt -o default ;;
    esac
}
complete -F _gpcsup gpcsup
