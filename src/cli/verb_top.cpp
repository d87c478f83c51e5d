// top: the units that use most CPU, again and again.

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <optional>

#include "cli/handlers.h"
#include "cli/number.h"
#include "cli/render_top.h"
#include "cli/session.h"

namespace gpcsup::cli {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds least_delay{100};
constexpr std::size_t default_rows = 20;

// Keys come one by one and are not shown, until this goes.
class KeyMode {
  public:
    KeyMode() : known_(::tcgetattr(STDIN_FILENO, &before_) == 0) {
        if (known_) {
            termios keys = before_;
            keys.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
            ::tcsetattr(STDIN_FILENO, TCSANOW, &keys);
        }
    }
    KeyMode(const KeyMode&) = delete;
    KeyMode& operator=(const KeyMode&) = delete;
    ~KeyMode() {
        if (known_) {
            ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
        }
    }

  private:
    termios before_{};
    bool known_;
};

base::Fd ending_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        sigaddset(&set, signal);
    }
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    return base::Fd(::signalfd(-1, &set, SFD_CLOEXEC));
}

enum class Pause { over, ended };

// Until the time is over, or a person has had enough.
Pause pause_until(Clock::time_point end, int signals, int keys) {
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
        if (left.count() <= 0) {
            return Pause::over;
        }
        std::array descriptors{pollfd{signals, POLLIN, 0}, pollfd{keys, POLLIN, 0}};
        if (::poll(descriptors.data(), descriptors.size(), static_cast<int>(left.count())) <= 0) {
            continue;
        }
        char key = 'q';
        if (descriptors[0].revents != 0 || ::read(keys, &key, 1) <= 0 || key == 'q' || key == 'Q') {
            return Pause::ended;
        }
    }
}

base::Result<Json> take_status(control::Client& client) {
    auto answer = client.status({}, control::Detail::plain);
    return answer ? parse_answer(*answer) : base::Result<Json>(std::unexpected(answer.error()));
}

struct Pace {
    base::Duration delay = std::chrono::seconds(2);
    std::uint64_t count = 0;  // 0 = no end
};

base::Result<Pace> pace_of(const Session& session) {
    Pace pace;
    pace.count = session.look().width > 0 && !session.wants_json() ? 0 : 1;
    if (const auto text = session.arguments().value("--delay")) {
        auto delay = base::parse_duration(*text);
        if (!delay) {
            return base::pass(delay);
        }
        if (*delay < least_delay) {
            return base::refuse(EINVAL, "--delay is too short", "at least 100ms");
        }
        pace.delay = *delay;
    }
    if (const auto text = session.arguments().value("--count")) {
        auto count = parse_number("--count", *text);
        if (!count) {
            return base::pass(count);
        }
        pace.count = *count;
    }
    return pace;
}

std::size_t rows_of_terminal() {
    winsize size{};
    return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 4 ? size.ws_row - 3U
                                                                             : default_rows;
}

void print_table(const Session& session, const std::vector<Usage>& usages, std::chrono::nanoseconds between) {
    const Look& look = session.look();
    if (session.wants_json()) {
        print_line(top_json(usages, between).dump(-1, ' ', false, Json::error_handler_t::replace));
    } else if (look.width > 0) {
        print("\x1b[H\x1b[J" + render_top(usages, rows_of_terminal(), look));
    } else {
        print(render_top(usages, 0, look));
    }
}

}  // namespace

base::Result<int> do_top(Session& session) {
    auto pace = pace_of(session);
    if (!pace) {
        return base::pass(pace);
    }
    auto client = session.client();
    if (!client) {
        return base::pass(client);
    }
    const base::Fd signals = ending_signals();
    const bool has_keys = session.look().width > 0 && ::isatty(STDIN_FILENO) == 1;
    std::optional<KeyMode> key_mode;
    if (has_keys) {
        key_mode.emplace();
    }
    auto before = take_status(**client);
    Clock::time_point then = Clock::now();
    for (std::uint64_t shown = 0; before && (pace->count == 0 || shown < pace->count); ++shown) {
        if (pause_until(then + pace->delay, signals.get(), has_keys ? STDIN_FILENO : -1) == Pause::ended) {
            return 0;
        }
        auto after = take_status(**client);
        if (!after) {
            return base::pass(after);
        }
        const Clock::time_point now = Clock::now();
        print_table(session, usages(*before, *after, now - then), now - then);
        before = std::move(after);
        then = now;
    }
    return before ? base::Result<int>(0) : base::pass(before);
}

}  // namespace gpcsup::cli
