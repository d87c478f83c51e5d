#include "units/settings.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <utility>

#include "base/suggestion.h"
#include "base/toml_text.h"
#include "units/names.h"

namespace gpcsup::units {

namespace {

using base::Result;

std::string print_list(const std::vector<std::string>& list) {
    std::string text = "[";
    for (const std::string& entry : list) {
        text += (text.size() > 1 ? ", " : "") + base::toml_quoted(entry);
    }
    return text + "]";
}

std::string print_map(const std::map<std::string, std::string>& map) {
    std::string text = "{";
    for (const auto& [key, value] : map) {
        text += (text.size() > 1 ? ", " : " ") + key + " = " + base::toml_quoted(value);
    }
    return text + (map.empty() ? "}" : " }");
}

std::string print_duration(base::Duration duration) {
    return duration == no_timeout ? "max" : base::format_duration(duration);
}

// Each assign_… below is a template on the member, so that a row stays one line.
template <auto member>
Result<> assign_text(Declaration& declaration, const SettingValue& value) {
    declaration.*member = std::get<std::string>(value);
    return {};
}

template <auto member>
std::string print_text(const Declaration& declaration) {
    return declaration.*member;
}

template <auto member>
Result<> assign_flag(Declaration& declaration, const SettingValue& value) {
    declaration.*member = std::get<bool>(value);
    return {};
}

template <auto member>
std::string print_flag_of(const Declaration& declaration) {
    return declaration.*member ? "true" : "false";
}

template <auto member>
Result<> assign_list(Declaration& declaration, const SettingValue& value) {
    declaration.*member = std::get<std::vector<std::string>>(value);
    return {};
}

template <auto member>
std::string print_list_of(const Declaration& declaration) {
    return print_list(declaration.*member);
}

template <auto member>
Result<> assign_command(Declaration& declaration, const SettingValue& value) {
    const auto& words = std::get<std::vector<std::string>>(value);
    if (words.empty() || words.front().empty()) {
        return base::refuse(EINVAL, "a command needs a program", R"(write ["/usr/bin/program", "argument"])");
    }
    const auto has_nul = [](const std::string& word) { return word.find('\0') != std::string::npos; };
    if (std::ranges::any_of(words, has_nul)) {
        return base::refuse(EINVAL, "a command cannot contain a NUL character");
    }
    declaration.*member = words;
    return {};
}

template <base::Duration Declaration::*member>
Result<> assign_duration(Declaration& declaration, const SettingValue& value) {
    Result<base::Duration> duration = base::parse_duration(std::get<std::string>(value));
    if (!duration) {
        return base::pass(duration);
    }
    declaration.*member = *duration;
    return {};
}

template <base::Duration Declaration::*member>
Result<> assign_timeout(Declaration& declaration, const SettingValue& value) {
    if (std::get<std::string>(value) == "max") {
        declaration.*member = no_timeout;
        return {};
    }
    Result<> assigned = assign_duration<member>(declaration, value);
    if (assigned && declaration.*member == base::Duration::zero()) {
        return base::refuse(EINVAL, "a timeout of nothing would always be over",
                            R"(write "max" for no limit)");
    }
    return assigned;
}

template <base::Duration Declaration::*member>
std::string print_duration_of(const Declaration& declaration) {
    return print_duration(declaration.*member);
}

template <auto member>
Result<> assign_edges(Declaration& declaration, const SettingValue& value) {
    const auto& names = std::get<std::vector<std::string>>(value);
    for (const std::string& name : names) {
        Result<> checked = check_unit_name(name);
        if (!checked) {
            return checked;
        }
    }
    declaration.depends.*member = names;
    return {};
}

template <auto member>
std::string print_edges(const Declaration& declaration) {
    return print_list(declaration.depends.*member);
}

Result<std::size_t> choice(std::string_view text, std::span<const std::string_view> words) {
    const auto found = std::ranges::find(words, text);
    if (found != words.end()) {
        return static_cast<std::size_t>(found - words.begin());
    }
    std::string known;
    for (std::string_view word : words) {
        known += (known.empty() ? "" : ", ") + base::toml_quoted(word);
    }
    const auto near = base::nearest(text, words);
    return base::refuse(EINVAL, base::toml_quoted(text) + " is none of " + known,
                        near ? "did you mean " + base::toml_quoted(*near) + "?" : std::string());
}

Result<> assign_type(Declaration& declaration, const SettingValue& value) {
    Result<std::size_t> index = choice(std::get<std::string>(value), service_type_names);
    if (!index) {
        return base::pass(index);
    }
    declaration.type = static_cast<ServiceType>(*index);
    return {};
}

Result<> assign_restart(Declaration& declaration, const SettingValue& value) {
    Result<std::size_t> index = choice(std::get<std::string>(value), restart_policy_names);
    if (!index) {
        return base::pass(index);
    }
    declaration.restart = static_cast<RestartPolicy>(*index);
    return {};
}

std::optional<unsigned> whole_number(std::string_view text, unsigned base) {
    unsigned number = 0;
    for (char c : text) {
        if (c < '0' || c >= static_cast<char>('0' + base) || number > 100'000) {
            return std::nullopt;
        }
        number = number * base + static_cast<unsigned>(c - '0');
    }
    return text.empty() ? std::nullopt : std::optional(number);
}

Result<> assign_start_limit(Declaration& declaration, const SettingValue& value) {
    const auto& text = std::get<std::string>(value);
    if (text == "max") {
        declaration.start_limit = {unlimited_starts, base::Duration::zero()};
        return {};
    }
    const std::size_t slash = text.find('/');
    const auto starts = whole_number(text.substr(0, slash), 10);
    constexpr unsigned most_starts = 100;  // each is remembered with its time
    if (slash == std::string::npos || !starts || *starts == 0 || *starts > most_starts) {
        return base::refuse(EINVAL,
                            base::toml_quoted(text) + " is not a number of starts (1 to 100) in a duration",
                            R"(write "5/10s", or "max" for no limit)");
    }
    Result<base::Duration> window = base::parse_duration(std::string_view(text).substr(slash + 1));
    if (!window) {
        return base::pass(window);
    }
    if (*window == base::Duration::zero()) {
        return base::refuse(EINVAL,
                            base::toml_quoted(text) + " limits nothing: no start is in a time of nothing",
                            R"(write "5/10s", or "max" for no limit)");
    }
    declaration.start_limit = {*starts, *window};
    return {};
}

std::string print_start_limit(const Declaration& declaration) {
    const StartLimit& limit = declaration.start_limit;
    return limit.starts == unlimited_starts
               ? "max"
               : std::to_string(limit.starts) + "/" + base::format_duration(limit.window);
}

Result<> assign_stop_signal(Declaration& declaration, const SettingValue& value) {
    Result<std::string> name = canonical_signal(std::get<std::string>(value));
    if (!name) {
        return base::pass(name);
    }
    declaration.stop_signal = *name;
    return {};
}

template <auto member>
Result<> assign_account(Declaration& declaration, const SettingValue& value) {
    const auto& name = std::get<std::string>(value);
    if (name.find_first_of(std::string_view("/: \t\n\0", 6)) != std::string::npos) {
        const bool is_group = member == &Declaration::group;
        return base::refuse(
            EINVAL, base::toml_quoted(name) + (is_group ? " is no group of users" : " is no user"),
            is_group ? "a place in a hierarchy is written in [place], as in: tenant = \"/acme\"" : "");
    }
    declaration.*member = name;
    return {};
}

Result<> assign_environment(Declaration& declaration, const SettingValue& value) {
    const auto& map = std::get<std::map<std::string, std::string>>(value);
    for (const auto& [name, text] : map) {
        const bool bad = name.empty() || name.find('=') != std::string::npos ||
                         name.find('\0') != std::string::npos || text.find('\0') != std::string::npos;
        if (bad) {
            return base::refuse(EINVAL,
                                base::toml_quoted(name) + " cannot be the name of an environment variable");
        }
    }
    declaration.environment = map;
    return {};
}

Result<> assign_directory(Declaration& declaration, const SettingValue& value) {
    const auto& path = std::get<std::string>(value);
    if (!path.starts_with('/') || path.find('\0') != std::string::npos) {
        return base::refuse(EINVAL, base::toml_quoted(path) + " is not an absolute path");
    }
    declaration.directory = path;
    return {};
}

Result<> assign_nice(Declaration& declaration, const SettingValue& value) {
    const auto number = std::get<std::int64_t>(value);
    if (number < -20 || number > 19) {
        return base::refuse(EINVAL, std::to_string(number) + " is no nice value: it is between -20 and 19");
    }
    declaration.nice = static_cast<int>(number);
    return {};
}

Result<> assign_umask(Declaration& declaration, const SettingValue& value) {
    const auto& text = std::get<std::string>(value);
    const auto mask = whole_number(text, 8);
    if (!mask || *mask > 0777) {
        return base::refuse(EINVAL, base::toml_quoted(text) + " is no umask",
                            "write an octal number as a string: \"022\"");
    }
    declaration.umask = mask;
    return {};
}

std::string print_nice(const Declaration& d) {
    return d.nice ? std::to_string(*d.nice) : "";
}

std::string print_umask(const Declaration& declaration) {
    if (!declaration.umask) {
        return "";
    }
    std::string text = "000";
    for (unsigned i = 0; i < 3; ++i) {
        text[2 - i] = static_cast<char>('0' + ((*declaration.umask >> (3 * i)) & 7));
    }
    return text;
}

Result<> assign_wanted_by(Declaration& declaration, const SettingValue& value) {
    const auto& names = std::get<std::vector<std::string>>(value);
    for (const std::string& name : names) {
        Result<> checked = check_unit_name(name);
        if (!checked) {
            return checked;
        }
    }
    declaration.wanted_by = names;
    return {};
}

using T = SettingType;
using D = Declaration;
constexpr auto now = Applies::at_once;
constexpr auto later = Applies::at_start;
constexpr std::span<const std::string_view> none;

constexpr std::array table = {
    // clang-format off
    SettingRow{"", "description", T::text, now, "", "One line that says what the unit is", none,
               assign_text<&D::description>, print_text<&D::description>},
    SettingRow{"", "enabled", T::boolean, now, "true", "false: no target wants it at boot", none,
               assign_flag<&D::enabled>, print_flag_of<&D::enabled>},
    SettingRow{"", "masked", T::boolean, now, "false", "true: it cannot be started at all", none,
               assign_flag<&D::masked>, print_flag_of<&D::masked>},
    SettingRow{"", "wanted_by", T::unit_names, now, "[]", "Targets that want it instead of default", none,
               assign_wanted_by, print_list_of<&D::wanted_by>},

    SettingRow{"service", "type", T::word, later, "simple", "When it counts as started: execve, READY=1, exit 0, fork",
               service_type_names, assign_type, [](const D& d) { return std::string(name_of(d.type)); }},
    SettingRow{"service", "command", T::command, later, "[]", "The program and its arguments; no shell", none,
               assign_command<&D::command>, print_list_of<&D::command>, Audience::owner},
    SettingRow{"service", "stop_command", T::command, now, "[]", "Run to stop it, before the stop signal", none,
               assign_command<&D::stop_command>, print_list_of<&D::stop_command>, Audience::owner},
    SettingRow{"service", "reload_command", T::command, now, "[]", "Run to reload it, instead of SIGHUP", none,
               assign_command<&D::reload_command>, print_list_of<&D::reload_command>, Audience::owner},
    SettingRow{"service", "restart", T::word, now, "on-failure", "Which ends make it start again", restart_policy_names,
               assign_restart, [](const D& d) { return std::string(name_of(d.restart)); }},
    SettingRow{"service", "restart_delay", T::duration, now, "100ms", "Pause before it starts again; doubles each time",
               none, assign_duration<&D::restart_delay>, print_duration_of<&D::restart_delay>},
    SettingRow{"service", "restart_delay_max", T::duration, now, "30s", "The pause does not grow beyond this", none,
               assign_duration<&D::restart_delay_max>, print_duration_of<&D::restart_delay_max>},
    SettingRow{"service", "restart_reset", T::duration, now, "1m", "Active for so long, the pause is restart_delay again",
               none, assign_duration<&D::restart_reset>, print_duration_of<&D::restart_reset>},
    SettingRow{"service", "start_limit", T::rate, now, "5/10s", "More starts than this in that time: failed for good",
               none, assign_start_limit, print_start_limit},
    SettingRow{"service", "start_timeout", T::timeout, now, "1m30s", "Not started by then: stopped, and a failure", none,
               assign_timeout<&D::start_timeout>, print_duration_of<&D::start_timeout>},
    SettingRow{"service", "stop_timeout", T::timeout, now, "10s", "Not gone by then: SIGKILL to its whole group", none,
               assign_timeout<&D::stop_timeout>, print_duration_of<&D::stop_timeout>},
    SettingRow{"service", "stop_signal", T::text, now, "TERM", "The signal that asks its main process to end", none,
               assign_stop_signal, print_text<&D::stop_signal>},
    SettingRow{"service", "user", T::text, later, "", "The user it runs as; empty: that of the supervisor", none,
               assign_account<&D::user>, print_text<&D::user>},
    SettingRow{"service", "group", T::text, later, "", "The group of users it runs as; empty: that of its user", none,
               assign_account<&D::group>, print_text<&D::group>},
    SettingRow{"service", "environment", T::map, later, "{}", "Variables added to its environment", none,
               assign_environment, [](const D& d) { return print_map(d.environment); }, Audience::owner},
    SettingRow{"service", "directory", T::text, later, "", "Its working directory; empty: /", none,
               assign_directory, print_text<&D::directory>},
    SettingRow{"service", "nice", T::number, later, "", "Its nice value, -20 to 19", none, assign_nice, print_nice},
    SettingRow{"service", "umask", T::octal, later, "", "Its umask, an octal number in quotes", none,
               assign_umask, print_umask},
    SettingRow{"service", "enforce", T::words, later, "[]", "Controllers whose calls are trapped even without a limit",
               none, assign_list<&D::enforce>, print_list_of<&D::enforce>},
    SettingRow{"service", "no_new_privileges", T::boolean, later, "false", "true: set-user-id programs gain nothing",
               none, assign_flag<&D::no_new_privileges>, print_flag_of<&D::no_new_privileges>},
    SettingRow{"service", "terminal", T::boolean, later, "false", "true: the console is its input and output", none,
               assign_flag<&D::terminal>, print_flag_of<&D::terminal>},

    SettingRow{"place", "HIERARCHY", T::any_key, later, "\"/\"", "The group it is born in, one key a hierarchy", none,
               nullptr, nullptr},
    SettingRow{"limits", "CONTROLLER.ATTRIBUTE", T::any_key, now, "", "Set on a group of its own under its place", none,
               nullptr, nullptr},

    SettingRow{"depends", "requires", T::unit_names, now, "[]", "Started before it; it does not run without them", none,
               assign_edges<&Edges::requires_>, print_edges<&Edges::requires_>},
    SettingRow{"depends", "wants", T::unit_names, now, "[]", "Started before it; it runs without them too", none,
               assign_edges<&Edges::wants>, print_edges<&Edges::wants>},
    SettingRow{"depends", "binds", T::unit_names, now, "[]", "As requires, and it goes down with each restart of them",
               none, assign_edges<&Edges::binds>, print_edges<&Edges::binds>},
    SettingRow{"depends", "after", T::unit_names, now, "[]", "If they start too, they come first", none,
               assign_edges<&Edges::after>, print_edges<&Edges::after>},
    SettingRow{"depends", "before", T::unit_names, now, "[]", "If they start too, they come later", none,
               assign_edges<&Edges::before>, print_edges<&Edges::before>},
    SettingRow{"depends", "conflicts", T::unit_names, now, "[]", "Starting one stops the other", none,
               assign_edges<&Edges::conflicts>, print_edges<&Edges::conflicts>},
    // clang-format on
};

constexpr std::array<std::string_view, 4> section_names = {"service", "place", "limits", "depends"};

static_assert(table.size() <= 64, "Declaration::given has a bit for each");

std::size_t number_of(const SettingRow& row) {
    return static_cast<std::size_t>(&row - table.data());
}

}  // namespace

std::span<const SettingRow> settings() {
    return table;
}

std::span<const std::string_view> sections() {
    return section_names;
}

const SettingRow* find_setting(std::string_view section, std::string_view key) {
    const auto* found = std::ranges::find_if(table, [&](const SettingRow& row) {
        return row.section == section && row.key == key && row.type != SettingType::any_key;
    });
    return found == table.end() ? nullptr : found;
}

std::string full_key(const SettingRow& row) {
    return row.section.empty() ? std::string(row.key) : std::string(row.section) + "." + std::string(row.key);
}

bool was_given(const Declaration& declaration, const SettingRow& row) {
    return declaration.given[number_of(row)];
}

void note_given(Declaration& declaration, const SettingRow& row) {
    declaration.given.set(number_of(row));
}

std::string_view type_text(SettingType type) {
    switch (type) {
        case SettingType::text:
            return "a string";
        case SettingType::word:
            return "one of its words, in quotes";
        case SettingType::boolean:
            return "true or false";
        case SettingType::number:
            return "a whole number";
        case SettingType::duration:
            return "a duration in quotes, such as \"90s\"";
        case SettingType::timeout:
            return "a duration in quotes, such as \"90s\", or \"max\"";
        case SettingType::octal:
            return "an octal number in quotes, such as \"022\"";
        case SettingType::rate:
            return "a number in a duration, such as \"5/10s\", or \"max\"";
        case SettingType::command:
            return "a list of strings, such as [\"/usr/bin/program\", \"argument\"], or one string";
        case SettingType::unit_names:
            return "a list of names of units, such as [\"network\"]";
        case SettingType::words:
            return "a list of strings";
        case SettingType::map:
            return "a table of strings, such as { NAME = \"value\" }";
        case SettingType::any_key:
            return "a value";
    }
    return "a value";
}

Audience audience_of(std::string_view key) {
    const std::string whole = std::string(key) + ".";
    const auto* row = std::ranges::find_if(
        table, [&](const SettingRow& one) { return whole.starts_with(full_key(one) + "."); });
    return row == table.end() ? Audience::everybody : row->audience;
}

}  // namespace gpcsup::units
