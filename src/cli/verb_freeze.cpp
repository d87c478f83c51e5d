// freeze, thaw, wait: what becomes of a group.

#include <algorithm>
#include <cerrno>

#include "cli/handlers.h"
#include "cli/session.h"
#include "cli/survivors.h"

namespace gpcsup::cli {

namespace {

using std::chrono::microseconds;
using Clock = std::chrono::steady_clock;

std::string plural(std::int64_t count) {
    return std::to_string(count) + (count == 1 ? " process" : " processes");
}

void print_answer(const Session& session, const std::string& answer, const std::string& text) {
    if (session.wants_json()) {
        print_line(answer);
    } else if (!session.quiet() && !text.empty()) {
        print_line(text);
    }
}

base::Result<control::GroupCondition> condition_of(const Arguments& arguments) {
    using enum control::GroupCondition;
    constexpr std::pair<std::string_view, control::GroupCondition> options[] = {
        {"--empty", empty}, {"--populated", populated}, {"--frozen", frozen}, {"--thawed", thawed}};
    std::optional<control::GroupCondition> condition;
    for (const auto& [option, meaning] : options) {
        if (arguments.has(option) && condition) {
            return base::refuse(EINVAL, "only one of --empty, --populated, --frozen and --thawed");
        }
        condition = arguments.has(option) ? std::optional(meaning) : condition;
    }
    return condition.value_or(empty);
}

}  // namespace

base::Result<int> do_freeze(Session& session) {
    auto client = session.client();
    if (!client) {
        return base::pass(client);
    }
    auto answer = (*client)->freeze(session.words()[0]);
    auto frozen = answer ? parse_answer(*answer) : base::Result<Json>(std::unexpected(answer.error()));
    if (!frozen) {
        return base::pass(frozen);
    }
    print_answer(session, *answer, plural(number_of(*frozen, "processes").value_or(0)));
    return complain_of_survivors(*frozen);
}

base::Result<int> do_thaw(Session& session) {
    auto client = session.client();
    if (!client) {
        return base::pass(client);
    }
    auto answer = (*client)->thaw(session.words()[0]);
    auto thawed = answer ? parse_answer(*answer) : base::Result<Json>(std::unexpected(answer.error()));
    if (!thawed) {
        return base::pass(thawed);
    }
    const bool stays = truth_of(*thawed, "frozen") == Truth::yes;
    print_answer(session, *answer, stays ? "" : plural(number_of(*thawed, "processes").value_or(0)));
    if (stays && !session.quiet()) {
        complain(text_of(*thawed, "group") + " stays frozen by " + text_of(*thawed, "frozen_by"));
    }
    return 0;
}

base::Result<int> do_wait(Session& session) {
    auto condition = condition_of(session.arguments());
    auto limit = session.timeout();
    if (!condition || !limit) {
        return condition ? base::Result<int>(base::pass(limit)) : base::pass(condition);
    }
    auto client = session.client();
    if (!client) {
        return base::pass(client);
    }
    const std::string& group = session.words()[0];
    const Clock::time_point end = *limit ? Clock::now() + **limit : Clock::time_point::max();
    // The first question only says whether there is such a group: one that is gone later is empty, also when
    // gpcsupd was replaced in between.
    microseconds slice(1);
    for (bool known = false;; known = true) {
        auto answer = (*client)->wait_group(group, *condition, slice);
        if (!answer && known && answer.error().code == ENOENT &&
            *condition == control::GroupCondition::empty) {
            return 0;
        }
        auto state = answer ? parse_answer(*answer) : base::Result<Json>(std::unexpected(answer.error()));
        if (!state) {
            return base::pass(state);
        }
        if (truth_of(*state, "met") == Truth::yes) {
            print_answer(session, *answer, "");
            return 0;
        }
        if (Clock::now() >= end) {
            return base::refuse(ETIMEDOUT, "not done in time: " + text_of(*state, "waiting_for"));
        }
        slice = *limit ? std::max(std::chrono::ceil<microseconds>(end - Clock::now()), microseconds(1))
                       : microseconds(0);
    }
}

}  // namespace gpcsup::cli
