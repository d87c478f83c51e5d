// log: a unit's log files, read here; the supervisor only says where they are.

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <ctime>

#include "cli/handlers.h"
#include "cli/number.h"
#include "cli/session.h"
#include "cli/text.h"
#include "control/errors.h"
#include "logging/reader.h"

namespace gpcsup::cli {

namespace {

constexpr std::size_t lines_before_following = 10;
constexpr std::size_t count_of_all = SIZE_MAX / 2;

struct Place {
    std::string directory;
    std::string name;
};

// "/var/log/gpcsup/web.log" → the directory and "web".
Place place_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    std::string name = path.substr(slash + 1);
    if (name.ends_with(".log")) {
        name.resize(name.size() - 4);
    }
    return {path.substr(0, slash), name};
}

// Where the first unit of a Status answer has its log, or where logs are by rule.
Place log_in(const Json& status, const Session& session) {
    const Json& units = list_of(status, "units");
    const std::string path = units.empty() ? std::string() : text_of(units.front(), "log");
    return path.find('/') != std::string::npos
               ? place_of(path)
               : Place{log_directory(session.where().scope), session.words()[0]};
}

Place beside_others(const Session& session, control::Client& client) {
    auto answer = client.status({}, control::Detail::plain);
    auto status = answer ? parse_answer(*answer) : base::Result<Json>(Json::object());
    return {log_in(status ? *status : Json::object(), session).directory, session.words()[0]};
}

base::Result<Place> find_log(Session& session) {
    const std::string& unit = session.words()[0];
    auto client = session.client();
    if (!client) {
        if (client.error().code != control::unreachable_code) {
            return base::pass(client);
        }
        return Place{log_directory(session.where().scope), unit};
    }
    auto answer = (*client)->status({unit}, control::Detail::plain);
    if (!answer && answer.error().code == ENOENT) {
        // A command of `run` is forgotten when it has ended; its log is still there.
        const Place place = beside_others(session, **client);
        return logging::last_lines(place.directory, unit, 1) ? base::Result<Place>(place)
                                                             : base::pass(answer);
    }
    auto status = answer ? parse_answer(*answer) : base::Result<Json>(std::unexpected(answer.error()));
    if (!status) {
        return base::pass(status);
    }
    return log_in(*status, session);
}

std::string time_text(const logging::LogLine& line) {
    if (!line.time) {
        return {};
    }
    const auto since_epoch = std::chrono::floor<std::chrono::microseconds>(*line.time).time_since_epoch();
    const auto seconds = static_cast<time_t>(since_epoch.count() / 1'000'000);
    tm broken{};
    gmtime_r(&seconds, &broken);
    std::array<char, 32> text{};
    const std::size_t length = std::strftime(text.data(), text.size(), "%FT%T", &broken);
    std::array<char, 16> fraction{};
    std::snprintf(fraction.data(), fraction.size(), ".%06dZ",
                  static_cast<int>(since_epoch.count() % 1'000'000));
    return std::string(text.data(), length) + fraction.data();
}

void print_log_line(const Session& session, const logging::LogLine& line) {
    if (session.wants_json()) {
        const std::string time = time_text(line);
        const Json object = {
            {"time", time.empty() ? Json() : Json(time)}, {"unit", session.words()[0]}, {"text", line.text}};
        print_line(object.dump(-1, ' ', false, Json::error_handler_t::replace));
        return;
    }
    std::string text;
    if (session.arguments().has("--time")) {
        text = paint(session.look(), Tone::faint, pad(time_text(line), 27)) + "  ";
    }
    text += session.look().width > 0 ? harmless_line(line.text) : line.text;
    print(line.complete ? text + "\n" : text);
}

base::Result<int> follow(const Session& session, const Place& place, logging::LogPosition from) {
    auto follower = logging::LogFollower::open(place.directory, place.name, from);
    if (!follower) {
        return base::pass(follower);
    }
    for (;;) {
        auto lines = follower->next();
        if (!lines) {
            return base::pass(lines);
        }
        for (const auto& line : *lines) {
            print_log_line(session, line);
        }
        pollfd ready{follower->descriptor(), POLLIN, 0};
        if (::poll(&ready, 1, -1) < 0 && errno != EINTR) {
            return base::fail(errno, "wait for", "the log");
        }
    }
}

}  // namespace

base::Result<int> do_log(Session& session) {
    const bool following = session.arguments().has("--follow");
    std::size_t count = following ? lines_before_following : count_of_all;
    if (const auto text = session.arguments().value("--lines")) {
        auto number = parse_number("--lines", *text);
        if (!number) {
            return base::pass(number);
        }
        count = std::min<std::uint64_t>(*number, count_of_all);
    }
    auto place = find_log(session);
    if (!place) {
        return base::pass(place);
    }
    auto tail = logging::last_lines(place->directory, place->name, count);
    if (!tail) {
        const std::string path = place->directory + "/" + place->name + ".log";
        if (::access(path.c_str(), R_OK) < 0 && errno == EACCES) {
            return base::fail(EACCES, "read", path);
        }
        // A unit that never said anything is no error where a supervisor knows the unit.
        if (tail.error().code != ENOENT || !session.client()) {
            return base::pass(tail);
        }
        tail = logging::LogTail{};
    }
    for (const auto& line : tail->lines) {
        print_log_line(session, line);
    }
    return following ? follow(session, *place, tail->next) : base::Result<int>(0);
}

}  // namespace gpcsup::cli
