#include "cli/job.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "cli/log_tail.h"
#include "cli/text.h"
#include "control/errors.h"
#include "logging/reader.h"

namespace gpcsup::cli {

namespace {

using std::chrono::microseconds;
using Clock = std::chrono::steady_clock;

constexpr microseconds look_interval = std::chrono::seconds(1);
constexpr std::chrono::milliseconds last_words_patience{500};

// One line on a terminal that is written over until there is something final to say.
class ProgressLine {
  public:
    explicit ProgressLine(const Session& session)
        : look_(session.error_look()), wanted_(look_.width > 0 && !session.quiet()) {}
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;
    ~ProgressLine() { clear(); }

    [[nodiscard]] bool wanted() const { return wanted_; }
    void clear() {
        if (std::exchange(shown_, false)) {
            put("");
        }
    }
    void show(const std::string& text) {
        if (wanted_ && !text.empty()) {
            put(paint(look_, Tone::waiting, cut("waiting: " + text, look_.width - 1)));
            shown_ = true;
        }
    }

  private:
    static void put(const std::string& text) { print_error("\r\x1b[K" + text); }
    Look look_;
    bool wanted_;
    bool shown_ = false;
};

base::Result<Json> status_of(control::Client& client, const std::string& unit) {
    auto answer = client.status({unit}, control::Detail::plain);
    return answer ? parse_answer(*answer) : base::Result<Json>(std::unexpected(answer.error()));
}

// The unit's state once its last words are in its log: gpc-logd may not have written them yet.
base::Result<Json> status_with_log(control::Client& client, const std::string& unit) {
    auto status = status_of(client, unit);
    std::string path;
    const auto waiting = [&] {
        std::int64_t bytes = 0;
        for (const Json& each : status ? list_of(*status, "units") : Json::array()) {
            bytes = number_of(each, "log_waiting").value_or(0);
            path = text_of(each, "log");
        }
        return bytes > 0;
    };
    if (!waiting()) {
        return status;
    }
    auto watch = logging::LogFollower::open(path.substr(0, path.rfind('/')), unit);
    const Clock::time_point end = Clock::now() + last_words_patience;
    while (watch && Clock::now() < end) {
        status = status_of(client, unit);
        if (!waiting()) {
            break;
        }
        pollfd written{watch->descriptor(), POLLIN, 0};
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
        if (::poll(&written, 1, static_cast<int>(left.count())) > 0) {
            (void)watch->next();
        }
    }
    return status;
}

// The unit's last log lines, by the rights of whoever asks; nothing where there are none.
void print_log_tail(control::Client& client, const std::string& unit) {
    auto status = status_with_log(client, unit);
    if (!status) {
        return;
    }
    add_log_tails(*status, Whose::all);
    for (const Json& each : list_of(*status, "units")) {
        for (const Json& line : list_of(each, "log_tail")) {
            complain("  | " + value_text(line));
        }
    }
}

base::Result<int> report(control::Client& client, const Json& settled) {
    const bool good = truth_of(settled, "ok") != Truth::no;
    if (good) {
        return 0;
    }
    std::size_t bad = 0;
    std::size_t inactive = 0;
    for (const Json& unit : list_of(settled, "units")) {
        if (truth_of(unit, "ok") == Truth::yes) {
            continue;
        }
        const std::string name = text_of(unit, "name");
        const std::string reason = text_of(unit, "reason");
        if (!text_of(unit, "error").empty()) {  // nothing was tried: there is nothing new in its log
            complain(name + ": " + reason);
        } else {
            complain(name + " is " + text_of(unit, "state") + (reason.empty() ? "" : ": " + reason));
            print_log_tail(client, name);
        }
        ++bad;
        inactive += text_of(unit, "error") == "Inactive" ? 1 : 0;
    }
    return bad > 0 && inactive == bad ? control::exit_inactive : control::exit_failed;
}

}  // namespace

base::Result<int> follow_job(Session& session, control::Client& client, control::JobId job) {
    auto limit = session.timeout();
    if (!limit) {
        return base::pass(limit);
    }
    const Clock::time_point end = *limit ? Clock::now() + **limit : Clock::time_point::max();
    ProgressLine progress(session);
    for (;;) {
        microseconds slice = progress.wanted() ? look_interval : microseconds(0);
        if (*limit) {
            const auto left = std::max(std::chrono::ceil<microseconds>(end - Clock::now()), microseconds(1));
            slice = slice.count() > 0 ? std::min(slice, left) : left;
        }
        auto answer = client.wait(job, slice);
        if (!answer) {
            return base::pass(answer);
        }
        auto state = parse_answer(*answer);
        if (!state) {
            return base::pass(state);
        }
        if (truth_of(*state, "settled") != Truth::no) {
            progress.clear();
            return report(client, *state);
        }
        const std::string waiting = text_of(*state, "waiting_for");
        if (Clock::now() >= end) {
            return base::refuse(ETIMEDOUT, "not done in time" + (waiting.empty() ? "" : ": " + waiting),
                                "it goes on");
        }
        progress.show(waiting);
    }
}

}  // namespace gpcsup::cli
