#include "supervisor/group_waits.h"

#include <algorithm>
#include <array>

#include "base/suggestion.h"
#include "supervisor/chronicle.h"

namespace gpcsup::supervisor {

namespace {

constexpr std::array<std::string_view, 4> words = {"empty", "populated", "frozen", "thawed"};

}  // namespace

base::Result<GroupCondition> parse_condition(std::string_view word) {
    const auto found = std::find(words.begin(), words.end(), word);
    if (found == words.end()) {
        const auto near = base::nearest(word, words);
        return base::refuse(
            EINVAL, "there is no condition \"" + std::string(word) + "\" to wait for",
            near ? "did you mean \"" + std::string(*near) + "\"?" : "empty, populated, frozen or thawed");
    }
    return static_cast<GroupCondition>(found - words.begin());
}

base::Result<> GroupWaits::open() {
    auto timer = loop_.on_time(EventLoop::Priority::clients, [this] { expire(); });
    if (!timer) {
        return base::pass(timer);
    }
    timer_ = std::move(*timer);
    return {};
}

std::string GroupWaits::empty_answer(std::string_view group) {
    return text_of({{"schema", 1},
                    {"group", group},
                    {"condition", words[0]},
                    {"met", true},
                    {"removed", true},
                    {"waiting_for", ""}});
}

// Nothing: it has to go on waiting.
std::optional<base::Result<std::string>> GroupWaits::answer(const Waiting& waiting) const {
    const grouping::Group* group = forest_.group(waiting.wish.group);
    const bool there = group != nullptr && !group->dying;
    const GroupCondition condition = waiting.wish.condition;
    if (!there && condition != GroupCondition::empty) {
        return base::refuse(ENOENT, waiting.path + " has been removed");
    }
    const bool met = !there                                   ? true
                     : condition == GroupCondition::empty     ? group->populated == 0
                     : condition == GroupCondition::populated ? group->populated > 0
                     : condition == GroupCondition::frozen    ? is_frozen_(group->id)
                                                              : !group->frozen_effective;
    if (!met) {
        return std::nullopt;
    }
    if (!there) {
        return empty_answer(waiting.path);
    }
    return text_of({{"schema", 1},
                    {"group", forest_.full_path(group->id)},
                    {"condition", words[static_cast<std::size_t>(condition)]},
                    {"met", true},
                    {"removed", false},
                    {"waiting_for", ""}});
}

std::string GroupWaits::not_met(const Waiting& waiting) const {
    const grouping::Group* group = forest_.group(waiting.wish.group);
    const std::uint32_t processes = group != nullptr ? group->processes_below() : 0;
    const std::uint32_t threads = group != nullptr ? group->threads_below : 0;
    std::string reason = waiting.path + " ";
    switch (waiting.wish.condition) {
        case GroupCondition::empty:
            reason += "has " + std::to_string(processes) + (processes == 1 ? " process" : " processes");
            if (threads > 0) {
                reason += " and " + std::to_string(threads) + (threads == 1 ? " thread" : " threads");
            }
            break;
        case GroupCondition::populated:
            reason += "has no processes";
            break;
        case GroupCondition::frozen:
            reason += "is not frozen";
            break;
        case GroupCondition::thawed:
            reason += "is frozen";
            if (const auto by = forest_.frozen_by(waiting.wish.group); by && *by != waiting.wish.group) {
                reason += " by " + forest_.full_path(*by);
            }
            break;
    }
    return text_of({{"schema", 1},
                    {"group", waiting.path},
                    {"condition", words[static_cast<std::size_t>(waiting.wish.condition)]},
                    {"met", false},
                    {"removed", false},
                    {"waiting_for", reason}});
}

void GroupWaits::wait(const Wish& wish, control::Reply reply) {
    Waiting waiting{wish, forest_.full_path(wish.group), std::move(reply)};
    if (const auto at_once = answer(waiting)) {
        waiting.reply(*at_once);
        return;
    }
    const auto same = [&](const Waiting& one) { return one.wish.connection == wish.connection; };
    if (std::ranges::count_if(waiting_, same) >= static_cast<std::ptrdiff_t>(most_waits)) {
        waiting.reply(
            base::refuse(EBUSY, "this connection waits for " + std::to_string(most_waits) + " groups already",
                         "open another, or wait for one after the other"));
        return;
    }
    waiting_.push_back(std::move(waiting));
    arm();
}

void GroupWaits::review() {
    std::erase_if(waiting_, [this](Waiting& waiting) {
        const auto settled = answer(waiting);
        if (settled) {
            waiting.reply(*settled);
        }
        return settled.has_value();
    });
}

void GroupWaits::expire() {
    review();
    const std::uint64_t now = monotonic_now_ns();
    std::erase_if(waiting_, [&](Waiting& waiting) {
        const bool over = waiting.wish.deadline_ns != 0 && waiting.wish.deadline_ns <= now;
        if (over) {
            waiting.reply(not_met(waiting));
        }
        return over;
    });
    arm();
}

void GroupWaits::arm() {
    std::uint64_t next = 0;
    for (const Waiting& waiting : waiting_) {
        const std::uint64_t at = waiting.wish.deadline_ns;
        next = at != 0 && (next == 0 || at < next) ? at : next;
    }
    loop_.arm(timer_, next);
}

void GroupWaits::disconnected(std::uint64_t connection) {
    std::erase_if(waiting_, [&](const Waiting& waiting) { return waiting.wish.connection == connection; });
}

}  // namespace gpcsup::supervisor
