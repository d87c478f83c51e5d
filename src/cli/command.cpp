#include "cli/command.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "cli/signals.h"
#include "cli/text.h"

namespace gpcsup::cli {

namespace {

// 0, or why this file cannot be executed.
int why_not(const std::string& path) {
    struct stat about {};
    if (::stat(path.c_str(), &about) < 0) {
        return errno == EACCES ? ENOENT
                               : errno;  // in a directory we may not look into: as if it were not there
    }
    if (S_ISDIR(about.st_mode)) {
        return EISDIR;
    }
    return ::access(path.c_str(), X_OK) == 0 ? 0 : EACCES;
}

base::Result<Json> limits_of(const Arguments& arguments) {
    Json limits = Json::object();
    for (const auto& text : arguments.values("--limit")) {
        const std::size_t equals = text.find('=');
        if (equals == std::string::npos || equals == 0) {
            return base::refuse(EINVAL, "\"" + text + "\" is not ATTRIBUTE=VALUE",
                                "for example: -l numtasks.limit=16");
        }
        limits[text.substr(0, equals)] = text.substr(equals + 1);
    }
    return limits;
}

// The bus carries UTF-8 only; a variable that is none is left out rather than changed.
Json environment_of(const std::vector<std::string>& environment) {
    Json variables = Json::object();
    for (const auto& variable : environment) {
        const std::size_t equals = variable.find('=');
        if (equals != std::string::npos && equals > 0 && is_utf8(variable)) {
            variables[variable.substr(0, equals)] = variable.substr(equals + 1);
        }
    }
    return variables;
}

int signal_number(const Json& unit) {
    if (const auto number = number_of(unit, "signal")) {
        return static_cast<int>(*number);
    }
    const std::string name = text_of(unit, "signal");
    const auto parsed = name.empty() ? base::Result<int>(0) : parse_signal(name);
    return parsed ? *parsed : 0;
}

}  // namespace

base::Result<std::string> find_command(const std::string& command, const std::string& path,
                                       const std::string& directory) {
    const auto absolute = [&](const std::string& name) {
        return name.starts_with('/') ? name : directory + "/" + name;
    };
    if (command.find('/') != std::string::npos) {
        const std::string file = absolute(command);
        const int code = why_not(file);
        return code == 0 ? base::Result<std::string>(file) : base::fail(code, "execute", command);
    }
    int found = ENOENT;
    std::string_view rest = path;
    while (!command.empty()) {
        const std::size_t end = std::min(rest.find(':'), rest.size());
        const std::string place(rest.substr(0, end));
        std::string file = absolute(place.empty() ? "." : place) + "/" + command;
        const int code = why_not(file);
        if (code == 0) {
            return file;
        }
        found = code == EACCES ? code : found;
        if (end == rest.size()) {
            break;
        }
        rest.remove_prefix(end + 1);
    }
    return found == ENOENT ? base::refuse(ENOENT, command + ": command not found")
                           : base::fail(found, "execute", command);
}

base::Result<std::string> run_request(const Arguments& arguments, const std::string& executable,
                                      const Surroundings& around, Streams streams) {
    for (const auto& word : arguments.words) {
        if (!is_utf8(word)) {
            return base::refuse(EINVAL, "an argument of the command is not UTF-8: " + harmless(word),
                                "pass it through a file or a shell variable");
        }
    }
    auto limits = limits_of(arguments);
    if (!limits) {
        return base::pass(limits);
    }
    Json request = {{"command", arguments.words},
                    {"executable", executable},
                    {"groups", arguments.values("--group")},
                    {"limits", std::move(*limits)},
                    {"directory", around.directory},
                    {"environment", environment_of(around.environment)},
                    {"terminal", streams == Streams::terminal},
                    {"detach", arguments.has("--detach")},
                    {"user", ""},
                    {"name", arguments.value("--name").value_or("")}};
    return request.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Outcome outcome_of(const Json& unit) {
    const std::string reason = text_of(unit, "reason");
    const Json& exec = object_of(unit, "exec");
    if (!exec.empty()) {
        const int code = static_cast<int>(number_of(exec, "errno").value_or(0));
        const std::string step = text_of(exec, "step");
        const int status = step != "execute" ? run_failed
                           : code == ENOENT  ? run_not_found
                                             : run_not_executable;
        const char* text = strerrordesc_np(code);
        return {status, reason.empty() ? step + ": " + (text != nullptr ? text : "unknown error") : reason};
    }
    if (const int signal = signal_number(unit); signal > 0) {
        return {128 + signal, {}};
    }
    if (const auto code = number_of(unit, "exit_code")) {
        return {static_cast<int>(*code), {}};
    }
    const std::string state = text_of(unit, "state");
    return {run_failed, text_of(unit, "name") + " is " + state + (reason.empty() ? "" : ": " + reason)};
}

}  // namespace gpcsup::cli
