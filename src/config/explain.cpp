#include "config/explain.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "units/settings.h"

namespace gpcsup::config {

namespace {

using Row = std::pair<std::string_view, std::string_view>;

constexpr std::array foreign_keys = {
    // systemd
    Row{"ExecStart", "it is called command here, and no shell reads it"},
    Row{"ExecStartPre", "make it a unit of its own, type = \"oneshot\", and require it"},
    Row{"ExecStartPost", "make it a unit of its own, type = \"oneshot\", that comes after this one"},
    Row{"ExecStop", "it is called stop_command here"},
    Row{"ExecReload", "it is called reload_command here"},
    Row{"Type", "it is called type here"},
    Row{"Restart", "it is called restart here"},
    Row{"RestartSec", "it is called restart_delay here, as in restart_delay = \"100ms\""},
    Row{"TimeoutStartSec", "it is called start_timeout here"},
    Row{"TimeoutStopSec", "it is called stop_timeout here"},
    Row{"TimeoutSec", "they are called start_timeout and stop_timeout here"},
    Row{"StartLimitBurst", "it is part of start_limit here, as in start_limit = \"5/10s\""},
    Row{"StartLimitIntervalSec", "it is part of start_limit here, as in start_limit = \"5/10s\""},
    Row{"KillSignal", "it is called stop_signal here"},
    Row{"KillMode", "it is not needed: a unit is stopped when all its processes are gone"},
    Row{"RemainAfterExit", "it is not needed: a oneshot that finished stays \"done\""},
    Row{"PIDFile", "it is not needed: processes are known by their group"},
    Row{"WorkingDirectory", "it is called directory here"},
    Row{"Environment", "it is called environment here, as in environment = { NAME = \"value\" }"},
    Row{"EnvironmentFile", "write the variables into environment = { NAME = \"value\" }"},
    Row{"User", "it is called user here"},
    Row{"Group", "it is called group here"},
    Row{"UMask", "it is called umask here"},
    Row{"Nice", "it is called nice here"},
    Row{"NoNewPrivileges", "it is called no_new_privileges here"},
    Row{"StandardOutput", "it is not needed: `gpcsup log UNIT` shows the output"},
    Row{"StandardError", "it is not needed: `gpcsup log UNIT` shows the output"},
    Row{"Description", "it is called description here, at the top of the file"},
    Row{"After", "it is after = [\"…\"] in [depends] here"},
    Row{"Before", "it is before = [\"…\"] in [depends] here"},
    Row{"Requires", "it is requires = [\"…\"] in [depends] here"},
    Row{"Wants", "it is wants = [\"…\"] in [depends] here"},
    Row{"BindsTo", "it is binds = [\"…\"] in [depends] here"},
    Row{"Conflicts", "it is conflicts = [\"…\"] in [depends] here"},
    Row{"WantedBy", "it is wanted_by = [\"…\"] at the top of the file here"},
    Row{"TasksMax", "it is numtasks.limit in [limits] here"},
    Row{"LimitNPROC", "it is numtasks.limit in [limits] here, for the unit's processes only"},
    Row{"LimitAS", "it is rlimits.as in [limits] here"},
    Row{"LimitCORE", "it is rlimits.core in [limits] here"},
    Row{"LimitCPU", "it is rlimits.cpu in [limits] here"},
    Row{"LimitDATA", "it is rlimits.data in [limits] here"},
    Row{"LimitFSIZE", "it is rlimits.fsize in [limits] here"},
    Row{"LimitMEMLOCK", "it is rlimits.memlock in [limits] here"},
    Row{"LimitMSGQUEUE", "it is rlimits.msgqueue in [limits] here"},
    Row{"LimitNICE", "it is rlimits.nice in [limits] here"},
    Row{"LimitNOFILE", "it is rlimits.nofile in [limits] here"},
    Row{"LimitRTPRIO", "it is rlimits.rtprio in [limits] here"},
    Row{"LimitRTTIME", "it is rlimits.rttime in [limits] here"},
    Row{"LimitSIGPENDING", "it is rlimits.sigpending in [limits] here"},
    Row{"LimitSTACK", "it is rlimits.stack in [limits] here"},
    Row{"MemoryMax", "no controller limits memory; numtasks.limit in [limits] limits tasks"},
    Row{"MemoryLimit", "no controller limits memory; numtasks.limit in [limits] limits tasks"},
    Row{"MemoryHigh", "no controller limits memory; numtasks.limit in [limits] limits tasks"},
    Row{"CPUQuota", "no controller limits CPU time; cpuset.cpus in [limits] says on which CPUs it may run"},
    Row{"CPUWeight", "no controller shares CPU time; cpuset.cpus in [limits] says on which CPUs it may run"},
    Row{"AllowedCPUs", "it is cpuset.cpus in [limits] here"},
    Row{"CPUAffinity", "it is cpuset.cpus in [limits] here"},
    Row{"AllowedMemoryNodes",
        "memory nodes come with a later version; cpuset.cpus in [limits] says on which CPUs it may run"},
    Row{"Slice", "a place in a hierarchy is written in [place], as in tenant = \"/acme\""},
    // supervisord
    Row{"autorestart", "it is called restart here, as in restart = \"always\""},
    Row{"autostart", "it is called enabled here, at the top of the file"},
    Row{"startretries", "it is called start_limit here, as in start_limit = \"5/10s\""},
    Row{"startsecs", "it is not needed; type = \"notify\" lets the program say that it is ready"},
    Row{"stopwaitsecs", "it is called stop_timeout here, as in stop_timeout = \"10s\""},
    Row{"stopsignal", "it is called stop_signal here"},
    Row{"stopasgroup", "it is not needed: a unit is stopped when all its processes are gone"},
    Row{"killasgroup", "it is not needed: a unit is stopped when all its processes are gone"},
    Row{"stdout_logfile", "it is not needed: `gpcsup log UNIT` shows the output"},
    Row{"stderr_logfile", "it is not needed: `gpcsup log UNIT` shows the output"},
    Row{"redirect_stderr", "it is not needed: `gpcsup log UNIT` shows the output"},
    Row{"numprocs", "write one file a unit"},
    // dinit, OpenRC, compose files
    Row{"depends-on", "it is requires = [\"…\"] in [depends] here"},
    Row{"depends_on", "it is requires = [\"…\"] in [depends] here"},
    Row{"depends-ms", "it is wants = [\"…\"] in [depends] here"},
    Row{"waits-for", "it is wants = [\"…\"] in [depends] here"},
    Row{"working-dir", "it is called directory here"},
    Row{"working_dir", "it is called directory here"},
    Row{"cwd", "it is called directory here"},
    Row{"run-as", "it is called user here"},
    Row{"env", "it is called environment here, as in environment = { NAME = \"value\" }"},
    Row{"env-file", "write the variables into environment = { NAME = \"value\" }"},
    Row{"logfile", "it is not needed: `gpcsup log UNIT` shows the output"},
    Row{"pid-file", "it is not needed: processes are known by their group"},
    Row{"pidfile", "it is not needed: processes are known by their group"},
    Row{"smooth-recovery", "it is what restart does here"},
    Row{"command_args",
        "the arguments are part of command here, as in command = [\"program\", \"argument\"]"},
    Row{"args", "the arguments are part of command here, as in command = [\"program\", \"argument\"]"},
    Row{"exec", "it is called command here"},
    Row{"need", "it is requires = [\"…\"] in [depends] here"},
    Row{"use", "it is wants = [\"…\"] in [depends] here"},
};

constexpr std::array foreign_sections = {
    Row{"Unit", "the description is at the top of the file, and dependencies are in [depends]"},
    Row{"Service", "it is called [service] here"},
    Row{"Install", "units are enabled unless they say enabled = false; wanted_by is at the top of the file"},
    Row{"program", "it is called [service] here, and the name is that of the file"},
    Row{"dependencies", "it is called [depends] here"},
    Row{"environment", "it is environment = { NAME = \"value\" } in [service]"},
    Row{"hierarchy", "hierarchies are declared in gpcsup.toml"},
};

std::optional<std::string_view> look_up(std::span<const Row> rows, std::string_view word) {
    const auto found = std::ranges::find(rows, word, &Row::first);
    return found == rows.end() ? std::nullopt : std::optional(found->second);
}

std::string_view line_of(std::string_view text, unsigned number) {
    for (unsigned line = 1; line < number; ++line) {
        const std::size_t end = text.find('\n');
        if (end == std::string_view::npos) {
            return {};
        }
        text.remove_prefix(end + 1);
    }
    return text.substr(0, text.find('\n'));
}

std::string_view trimmed(std::string_view text);

// "service." for a line below [service].
std::string section_at(std::string_view text, unsigned line) {
    while (--line > 0) {
        const std::string_view header = trimmed(line_of(text, line));
        const std::size_t close = header.find(']');
        if (header.starts_with('[') && close != std::string_view::npos) {
            return std::string(header.substr(1, close - 1)) + ".";
        }
    }
    return {};
}

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) {
        text.remove_prefix(1);
    }
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) {
        text.remove_suffix(1);
    }
    return text;
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_bare(char c) {
    return is_letter(c) || is_digit(c) || c == '_' || c == '-';
}

std::string in_quotes(std::string_view text) {
    return "\"" + std::string(text) + "\"";
}

struct Explanation {
    std::size_t column;  // in the line, from 0
    std::string key;
    std::string message;
};

// [hierarchy.tenant.group./acme]
std::optional<Explanation> explain_header(std::string_view line) {
    const std::string_view header = trimmed(line);
    const std::size_t slash = header.find('/');
    const std::size_t close = header.find(']');
    if (!header.starts_with('[') || slash == std::string_view::npos || close == std::string_view::npos ||
        slash > close || header.substr(0, slash).find_first_of("\"'") != std::string_view::npos) {
        return std::nullopt;
    }
    const std::string_view path = trimmed(header.substr(slash, close - slash));
    const std::string right = std::string(header.substr(0, slash)) + in_quotes(path) + "]";
    return Explanation{line.find('/'), std::string(header.substr(1, close - 1)),
                       "a path in a header needs quotes: write " + right};
}

// Of which section is not known here, and no two settings of one name differ in this.
bool is_flag(std::string_view key) {
    return std::ranges::any_of(units::settings(), [&](const units::SettingRow& row) {
        return row.key == key && row.type == units::SettingType::boolean;
    });
}

// Words that are meant as strings: restart = no, restart_delay = 5s, user = redis, umask = 022.
std::optional<Explanation> explain_value(std::string_view line, std::string_view key, std::size_t column) {
    std::string_view value = trimmed(line.substr(column));
    if (const std::size_t comment = value.find(" #"); comment != std::string_view::npos) {
        value = trimmed(value.substr(0, comment));
    }
    const auto say = [&](std::string message) {
        return Explanation{column, std::string(key), std::move(message)};
    };
    const std::string right = std::string(key) + " = " + in_quotes(value);
    if (value.empty()) {
        return say("the value is missing: write " + std::string(key) + " = \"…\"");
    }
    if (value == "True" || value == "False" || value == "TRUE" || value == "FALSE") {
        return say("write true or false in small letters");
    }
    if (is_flag(key)) {
        return say("write " + std::string(key) + " = true or " + std::string(key) + " = false");
    }
    const bool is_number = is_digit(value.front());
    const bool is_plain = value.find_first_of("\"'[]{}=") == std::string_view::npos;
    if (is_number && value.size() > 1 && value.front() == '0' && std::ranges::all_of(value, is_digit)) {
        return say("a number with leading zeros needs quotes: write " + right);
    }
    if (is_number && is_plain && std::ranges::any_of(value, is_letter)) {
        return say("a value with a unit needs quotes: write " + right);
    }
    if (is_number && is_plain && value.find_first_of("-,/") != std::string_view::npos) {
        return say("a list, a range or a rate needs quotes: write " + right);
    }
    if (is_plain &&
        (is_letter(value.front()) || value.front() == '/' || value.front() == '~' || value.front() == '.')) {
        return say("a string needs quotes: write " + right);
    }
    return std::nullopt;
}

std::string_view key_at(std::string_view line, std::size_t start) {
    std::size_t end = start;
    while (end < line.size() && (is_bare(line[end]) || line[end] == '.')) {
        ++end;
    }
    return line.substr(start, end - start);
}

// "[service]", or "enabled": what a line defines.
std::string_view defined_in(std::string_view line) {
    const std::string_view content = trimmed(line);
    return content.starts_with('[') ? content.substr(0, content.find(']') + 1) : key_at(content, 0);
}

// What is there twice; the parser stands at the second one.
std::optional<Located> explain_redefinition(std::string_view text, const Location& place) {
    const std::string_view line = line_of(text, place.line);
    const std::string_view what = defined_in(line);
    if (what.empty()) {
        return std::nullopt;
    }
    const bool is_header = what.starts_with('[');
    const std::string section = is_header ? "" : section_at(text, place.line);
    std::string message = (is_header ? std::string(what) : in_quotes(what)) + " is there twice";
    for (unsigned first = 1; first < place.line; ++first) {
        if (defined_in(line_of(text, first)) == what && (is_header || section_at(text, first) == section)) {
            message += ": the first is in line " + std::to_string(first);
            break;
        }
    }
    const auto column = static_cast<unsigned>(line.find_first_not_of(" \t")) + 1;
    const std::string_view key = is_header ? what.substr(1, what.size() - 2) : what;
    return Located{place.file, place.line, column, section + std::string(key), std::move(message)};
}

std::optional<Explanation> explain_line(std::string_view line) {
    if (auto header = explain_header(line)) {
        return header;
    }
    const std::size_t start = line.find_first_not_of(" \t");
    if (start == std::string_view::npos) {
        return std::nullopt;
    }
    if (line[start] == ';' || line.substr(start).starts_with("//")) {
        return Explanation{start, "", "a comment begins with #"};
    }
    const std::string_view key = key_at(line, start);
    const std::size_t sign = line.find_first_not_of(" \t", start + key.size());
    if (key.empty() || sign == std::string_view::npos) {
        return std::nullopt;
    }
    if (line[sign] == ':') {
        return Explanation{sign, std::string(key),
                           "a key and its value are separated by =: write " + std::string(key) + " = …"};
    }
    if (line[sign] != '=') {
        return std::nullopt;
    }
    const std::size_t value = line.find_first_not_of(" \t", sign + 1);
    return explain_value(line, key, value == std::string_view::npos ? line.size() : value);
}

}  // namespace

std::string format(const Located& problem) {
    return problem.file + ":" + std::to_string(problem.line) + ":" + std::to_string(problem.column) + ": " +
           (problem.key.empty() ? "" : problem.key + ": ") + problem.message;
}

Located explain_parse_error(std::string_view text, const Location& place, std::string_view description) {
    if (description.find("cannot redefine") != std::string_view::npos) {
        if (auto twice = explain_redefinition(text, place)) {
            return *twice;
        }
    }
    // The parser often notices at the beginning of the next line.
    for (unsigned line : {place.line, place.line - 1}) {
        const std::string_view content = line > 0 ? line_of(text, line) : std::string_view();
        const bool belongs = line == place.line || (place.column <= 1 && line > 0);
        if (auto slip = belongs ? explain_line(content) : std::nullopt) {
            const std::string section =
                slip->key.empty() || content.starts_with('[') ? "" : section_at(text, line);
            return {place.file, line, static_cast<unsigned>(slip->column) + 1, section + slip->key,
                    slip->message};
        }
    }
    if (const std::size_t detail = description.find(": ");
        description.starts_with("Error while parsing ") && detail != std::string_view::npos) {
        description.remove_prefix(detail + 2);
    }
    return {place.file, place.line, place.column, "", "this is not TOML: " + std::string(description)};
}

std::optional<std::string_view> explain_foreign_key(std::string_view key) {
    return look_up(foreign_keys, key);
}

std::optional<std::string_view> explain_foreign_section(std::string_view section) {
    return look_up(foreign_sections, section);
}

}  // namespace gpcsup::config
