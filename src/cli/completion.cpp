#include "cli/completion.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "cli/verbs.h"

namespace gpcsup::cli {

namespace {

std::string_view kind_word(Completes completes) {
    switch (completes) {
        case Completes::unit:
            return "unit";
        case Completes::group:
            return "group";
        case Completes::unit_or_group:
            return "unit_or_group";
        case Completes::hierarchy:
            return "hierarchy";
        case Completes::controller:
            return "controller";
        case Completes::attribute:
            return "attribute";
        case Completes::file:
            return "file";
        case Completes::directory:
            return "directory";
        case Completes::signal:
            return "signal";
        case Completes::event:
            return "event";
        case Completes::command:
            return "command";
        case Completes::verb:
            return "verb";
        case Completes::nothing:
            break;
    }
    return "nothing";
}

std::string flag_words(const Option& option) {
    std::string text(option.flags);
    std::ranges::replace(text, ',', ' ');
    return text;
}

std::string all_flags(const Verb& verb) {
    std::string text;
    for (const Option& option : verb.options) {
        text += (text.empty() ? "" : " ") + flag_words(option);
    }
    return text + (verb.reads == Reads::json ? (text.empty() ? "--json" : " --json") : "");
}

// First words of all verbs, or second words of those that begin with FIRST.
std::string words_at(std::string_view first) {
    std::vector<std::string_view> words;
    for (const Verb& verb : verbs()) {
        const std::size_t space = verb.words.find(' ');
        const std::string_view head = verb.words.substr(0, space);
        if (first.empty()) {
            words.push_back(head);
        } else if (head == first && space != std::string_view::npos) {
            words.push_back(verb.words.substr(space + 1));
        }
    }
    words.erase(std::ranges::unique(words).begin(), words.end());
    std::string text;
    for (const auto word : words) {
        text += (text.empty() ? "" : " ") + std::string(word);
    }
    return text;
}

// "verb) flags='…' kinds='unit group …'": the last kind repeats when any number is allowed.
std::string verb_cases() {
    std::string text;
    for (const Verb& verb : verbs()) {
        std::string kinds;
        for (const Positional& positional : verb.positionals) {
            kinds += (kinds.empty() ? "" : " ") + std::string(kind_word(positional.completes));
            kinds += positional.most == 0 ? " …" : "";
        }
        text += "        '" + std::string(verb.words) + "') flags='" + all_flags(verb) + "'; kinds='" +
                kinds + "' ;;\n";
    }
    return text;
}

// "'kill:-s'|'kill:--signal') kind=signal ;;": what the value of an option is.
std::string value_cases() {
    std::string text;
    const auto add = [&](std::string_view words, const Option& option) {
        if (takes(option) != Takes::value) {
            return;
        }
        const std::string verb = words.empty() ? "*:" : "'" + std::string(words) + "':";
        std::string pattern = verb;
        for (const char c : option.flags) {
            pattern += c == ',' ? "|" + verb : std::string(1, c);
        }
        text += "        " + pattern + ") kind=" + std::string(kind_word(option.completes)) + " ;;\n";
    };
    for (const Verb& verb : verbs()) {
        for (const Option& option : verb.options) {
            add(verb.words, option);
        }
    }
    for (const Option& option : global_options()) {
        add("", option);
    }
    return text;
}

std::string global_flags() {
    std::string text;
    for (const Option& option : global_options()) {
        text += (text.empty() ? "" : " ") + flag_words(option);
    }
    return text;
}

std::string replaced(std::string text, std::string_view mark, const std::string& by) {
    for (std::size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + by.size())) {
        text.replace(at, mark.size(), by);
    }
    return text;
}

constexpr char bash_script[] = R"bash(# bash completion for gpcsup; made by "gpcsup completion bash"

__gpcsup_offer() {  # KIND WORD
    local words
    case $1 in
        file) mapfile -t COMPREPLY < <(compgen -f -- "$2"); compopt -o filenames; return ;;
        directory) mapfile -t COMPREPLY < <(compgen -d -- "$2"); compopt -o filenames; return ;;
        command) mapfile -t COMPREPLY < <(compgen -c -- "$2"); return ;;
        verb) words='@VERBS@' ;;
        unit_or_group) words="$("${__gpcsup_call[@]}" completion words unit 2>/dev/null) $("${__gpcsup_call[@]}" completion words group 2>/dev/null)" ;;
        nothing) return ;;
        *) words=$("${__gpcsup_call[@]}" completion words "$1" 2>/dev/null) ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$2")
    if [[ $1 == attribute ]]; then compopt -o nospace; fi
    if declare -F __ltrim_colon_completions >/dev/null; then __ltrim_colon_completions "$2"; fi
}

_gpcsup() {
    local cur prev words cword
    if declare -F _get_comp_words_by_ref >/dev/null; then
        _get_comp_words_by_ref -n := cur prev words cword
    else
        words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; cur=${words[cword]}; prev=${words[cword - 1]}
    fi
    COMPREPLY=()
    local -a __gpcsup_call=("${words[0]}")
    local verb='' place=0 i flags kinds kind after_command=''
    for ((i = 1; i < cword; i++)); do
        case ${words[i]} in
            --runtime) __gpcsup_call+=(--runtime "${words[i + 1]}"); ((i++)) ;;
            --user|--system) __gpcsup_call+=("${words[i]}") ;;
            --) [[ $verb == run ]] && after_command=yes ;;
            -*) __gpcsup_takes_value "$verb" "${words[i]}" && ((i++)) ;;
            *) if [[ -z $verb || $verb == group || $verb == hierarchy ]]; then verb=${verb:+$verb }${words[i]}
               else ((place++)); fi ;;
        esac
    done
    if __gpcsup_takes_value "$verb" "$prev"; then
        __gpcsup_offer "$kind" "$cur"
    elif [[ -n $after_command && $place -gt 0 ]]; then
        __gpcsup_offer file "$cur"
    else
        __gpcsup_plain "$verb" "$place"
    fi
}

__gpcsup_takes_value() {  # VERB WORD; sets kind
    kind=''
    case $1:$2 in
@VALUES@    esac
    [[ -n $kind ]]
}

__gpcsup_plain() {  # VERB PLACE
    flags='' kinds=''
    case $1 in
        '') flags='' kinds=verb ;;
        group) mapfile -t COMPREPLY < <(compgen -W '@GROUP@' -- "$cur"); return ;;
        hierarchy) mapfile -t COMPREPLY < <(compgen -W '@HIERARCHY@' -- "$cur"); return ;;
@CASES@    esac
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$flags @GLOBAL@" -- "$cur")
        return
    fi
    local -a list; read -ra list <<<"$kinds"
    local last=${list[${#list[@]} - 1]-}
    if [[ $last == … ]]; then
        unset 'list[${#list[@]}-1]'
        (($2 >= ${#list[@]})) && set -- "$1" "$((${#list[@]} - 1))"
    fi
    __gpcsup_offer "${list[$2]:-nothing}" "$cur"
}

complete -F _gpcsup gpcsup
)bash";

}  // namespace

std::string bash_completion() {
    std::string text = bash_script;
    text = replaced(text, "@VERBS@", words_at(""));
    text = replaced(text, "@GROUP@", words_at("group"));
    text = replaced(text, "@HIERARCHY@", words_at("hierarchy"));
    text = replaced(text, "@VALUES@", value_cases());
    text = replaced(text, "@CASES@", verb_cases());
    return replaced(text, "@GLOBAL@", global_flags());
}

namespace {

// Text inside '…[…]' of zsh's _arguments.
std::string zsh_quoted(std::string_view text) {
    std::string result;
    for (const char c : text) {
        if (c == '\'') {
            result += "'\\''";
        } else if (c == '[' || c == ']' || c == ':') {
            result += std::string("\\") + c;
        } else {
            result += c;
        }
    }
    return result;
}

std::string zsh_action(Completes completes) {
    switch (completes) {
        case Completes::file:
            return "_files";
        case Completes::directory:
            return "_files -/";
        case Completes::command:
            return "_normal";
        case Completes::nothing:
            return " ";
        default:
            return "_gpcsup_words " + std::string(kind_word(completes));
    }
}

std::string zsh_option(const Option& option) {
    std::string text;
    std::string_view rest = option.flags;
    while (!rest.empty()) {
        const std::size_t comma = std::min(rest.find(','), rest.size());
        text += "        '*" + std::string(rest.substr(0, comma)) + "[" + zsh_quoted(option.help) + "]";
        text += takes(option) != Takes::value
                    ? "'"
                    : ":" + zsh_quoted(option.value) + ":" + zsh_action(option.completes) + "'";
        text += " \\\n";
        rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
    return text;
}

std::string zsh_cases() {
    std::string text;
    for (const Verb& verb : verbs()) {
        text += "    ('" + std::string(verb.words) + "') _arguments -S : \\\n";
        for (const Option& option : verb.options) {
            text += zsh_option(option);
        }
        if (verb.reads == Reads::json) {
            text += "        '--json[print the answer as JSON]' \\\n";
        }
        text += "        \"$global[@]\"";
        for (std::size_t i = 0; i < verb.positionals.size(); ++i) {
            const Positional& positional = verb.positionals[i];
            const std::string place = positional.most == 0 ? "*" : std::to_string(i + 1);
            const std::string more = verb.stops == Stops::at_command ? "::" : ":";
            text += " \\\n        '" + place + more + zsh_quoted(positional.name) + ":" +
                    zsh_action(positional.completes) + "'";
        }
        text += " ;;\n";
    }
    return text;
}

std::string zsh_verbs(std::string_view first) {
    std::string text;
    for (const Verb& verb : verbs()) {
        const std::size_t space = verb.words.find(' ');
        const bool plain = first.empty() && space == std::string_view::npos;
        const bool inner =
            !first.empty() && space != std::string_view::npos && verb.words.substr(0, space) == first;
        if (plain || inner) {
            text += "        '" + std::string(inner ? verb.words.substr(space + 1) : verb.words) + ":" +
                    zsh_quoted(verb.help) + "'\n";
        }
    }
    if (first.empty()) {
        text +=
            "        'group:create, remove, rename or list groups'\n        'hierarchy:create, remove, "
            "rebind or list "
            "hierarchies'\n";
    }
    return text;
}

constexpr char zsh_script[] = R"zsh(#compdef gpcsup
# zsh completion for gpcsup; made by "gpcsup completion zsh"

_gpcsup_words() {
    local -a found
    if [[ $1 == unit_or_group ]]; then
        found=(${(f)"$(gpcsup $where completion words unit 2>/dev/null)"} ${(f)"$(gpcsup $where completion words group 2>/dev/null)"})
    elif [[ $1 == verb ]]; then
        found=(${verbs%%:*})
    else
        found=(${(f)"$(gpcsup $where completion words $1 2>/dev/null)"})
    fi
    compadd -a found
}

_gpcsup() {
    local -a verbs group_verbs hierarchy_verbs global where
    local verb curcontext=$curcontext
    verbs=(
@VERBS@    )
    group_verbs=(
@GROUP@    )
    hierarchy_verbs=(
@HIERARCHY@    )
    global=(
@GLOBAL@    )
    local i=2
    while (( i < CURRENT )); do
        case $words[i] in
            --runtime) where+=(--runtime $words[i+1]); (( i++ )) ;;
            --user|--system) where+=($words[i]) ;;
            -*) ;;
            *) break ;;
        esac
        (( i++ ))
    done
    if (( i >= CURRENT )); then
        if [[ $words[CURRENT] == -* ]]; then _arguments -S : "$global[@]"; else _describe verb verbs; fi
        return
    fi
    verb=$words[i]
    if [[ $verb == group || $verb == hierarchy ]]; then
        if (( i + 1 == CURRENT )); then
            if [[ $verb == group ]]; then _describe verb group_verbs; else _describe verb hierarchy_verbs; fi
            return
        fi
        (( i++ ))
        verb="$verb $words[i]"
    fi
    shift $(( i - 1 )) words
    (( CURRENT -= i - 1 ))
    case $verb in
@CASES@    esac
}

_gpcsup "$@"
)zsh";

}  // namespace

std::string zsh_completion() {
    std::string global;
    for (const Option& option : global_options()) {
        global += replaced(zsh_option(option), " \\\n", "\n");
    }
    std::string text = zsh_script;
    text = replaced(text, "@VERBS@", zsh_verbs(""));
    text = replaced(text, "@GROUP@", zsh_verbs("group"));
    text = replaced(text, "@HIERARCHY@", zsh_verbs("hierarchy"));
    text = replaced(text, "@GLOBAL@", global);
    return replaced(text, "@CASES@", zsh_cases());
}

}  // namespace gpcsup::cli
