#include "cli/job.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "cli/log_tail.h"
#include "cli/text.h"
#include "control/errors.h"

namespace gpcsup::cli {

namespace {

using std::chrono::microseconds;
using Clock = std::chrono::steady_clock;

constexpr microseconds look_interval = std::chrono::seconds(1);

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

// The unit's last log lines, by the rights of whoever asks; nothing where there are none.
void print_log_tail(control::Client& client, const std::string& unit) {
    auto answer = client.status({unit}, control::Detail::plain);
    auto status = answer ? parse_answer(*answer) : base::Result<Json>(std::unexpected(answer.error()));
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
    for (const Json& unit : list_of(settled, "units")) {
        const std::string name = text_of(unit, "name");
        const std::string state = text_of(unit, "state");
        const std::string reason = text_of(unit, "reason");
        if (state == "active" || state == "done") {
            continue;
        }
        complain(name + " is " + state + (reason.empty() ? "" : ": " + reason));
        print_log_tail(client, name);
    }
    return control::exit_failed;
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
