#include "supervisor/removals.h"

#include <cerrno>

#include "supervisor/group_record.h"

namespace gpcsup::supervisor {

namespace {

constexpr std::uint64_t kill_patience_ns = 10'000'000'000;  // then who is left is named

}  // namespace

base::Result<> Removals::open() {
    auto timer = loop_.on_time(EventLoop::Priority::clients, [this] { expire(); });
    if (!timer) {
        return base::pass(timer);
    }
    timer_ = std::move(*timer);
    return {};
}

bool Removals::in_the_way(const Wish& wish) const {
    const grouping::Group& group = *forest_.group(wish.group);
    return group.populated > 0 || (wish.reach == Reach::group && group.descendants > 0);
}

base::Result<> Removals::remove(const Wish& wish) {
    return wish.reach == Reach::tree ? groups_.remove_tree(wish.group) : groups_.remove(wish.group);
}

std::string Removals::answer(const Wish& wish, const std::string& path) const {
    const grouping::Group* left = forest_.group(wish.group);
    return text_of({{"schema", 1},
                    {"group", path},
                    {"state", left == nullptr ? "removed" : "dying"},
                    {"held_by", left == nullptr ? Json::object() : holders_of(*left)}});
}

void Removals::ask(const Wish& wish, control::Reply reply) {
    const grouping::Group* group = forest_.group(wish.group);
    const std::string path = forest_.full_path(wish.group);
    const bool never = group == nullptr || group->parent == grouping::GroupId{};
    // Killing what is in a group that has groups below it would not make it go.
    const bool futile =
        !never && wish.means == Means::kill && wish.reach == Reach::group && group->descendants > 0;
    // Nor does it reach threads whose processes are elsewhere.
    const bool threads_only =
        !never && wish.means == Means::kill && group->populated > 0 && group->processes_below() == 0;
    const bool at_once = (wish.means == Means::emptiness || threads_only) && wish.patience == Patience::none;
    if (never || futile || at_once || !in_the_way(wish)) {
        auto done = remove(wish);
        if (!done && futile) {
            done.error().hint = "--recursive removes the groups below it, too";
        }
        return reply(done ? base::Result<std::string>(answer(wish, path)) : base::pass(done));
    }
    if (pending_.size() >= most_waits) {
        return reply(base::refuse(EBUSY, "too many clients wait already"));
    }
    pending_.push_back({wish, path, std::move(reply)});
    if (wish.patience == Patience::none) {
        pending_.back().wish.deadline_ns = monotonic_now_ns() + kill_patience_ns;
    }
    arm();
    if (wish.means == Means::kill) {
        kill_(wish.group);  // it may be over already when this returns, and reviewed
    }
}

void Removals::review() {
    for (std::size_t i = 0; i < pending_.size();) {
        const grouping::Group* group = forest_.group(pending_[i].wish.group);
        const bool gone = group == nullptr || group->dying;  // somebody else was faster
        if (!gone && in_the_way(pending_[i].wish)) {
            ++i;
            continue;
        }
        Pending ready = std::move(pending_[i]);
        pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(i));
        base::Result<> done = gone ? base::Result<>() : remove(ready.wish);
        ready.reply(done ? base::Result<std::string>(answer(ready.wish, ready.path)) : base::pass(done));
        i = 0;  // what was removed may have been in another one's way
    }
    arm();
}

base::Error Removals::too_late(const Pending& pending) const {
    const bool waited = pending.wish.patience == Patience::waits;
    const std::string reason = forest_.busy_reason(pending.wish.group);
    return {waited ? ETIMEDOUT : EBUSY,
            "cannot remove " + pending.path + (waited ? " in time: " : " after killing: ") + reason,
            {},
            pending.wish.means == Means::kill ? "see the events kill-survivor" : ""};
}

void Removals::expire() {
    const std::uint64_t now = monotonic_now_ns();
    for (std::size_t i = 0; i < pending_.size();) {
        if (pending_[i].wish.deadline_ns == 0 || pending_[i].wish.deadline_ns > now) {
            ++i;
            continue;
        }
        pending_[i].reply(std::unexpected(too_late(pending_[i])));
        pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    arm();
}

void Removals::drop(std::uint64_t connection) {
    std::erase_if(pending_, [&](const Pending& each) { return each.wish.connection == connection; });
    arm();
}

void Removals::arm() {
    std::uint64_t next = 0;
    for (const Pending& each : pending_) {
        if (each.wish.deadline_ns != 0 && (next == 0 || each.wish.deadline_ns < next)) {
            next = each.wish.deadline_ns;
        }
    }
    loop_.arm(timer_, next);
}

}  // namespace gpcsup::supervisor
