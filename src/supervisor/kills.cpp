#include "supervisor/kills.h"

#include <fmt/format.h>

#include <algorithm>

#include "supervisor/records.h"

namespace gpcsup::supervisor {

using grouping::GroupId;

namespace {

constexpr std::string_view prefix = "kill/";

std::string key_of(GroupId group) {
    return fmt::format("{}{:08}", prefix, group.value);
}

std::string answer_of(const std::string& path, const std::vector<processes::Survivor>& survivors) {
    return Json{{"schema", 1}, {"group", path}, {"survivors", survivors_to_json(survivors)}}.dump();
}

}  // namespace

Json survivors_to_json(const std::vector<processes::Survivor>& survivors) {
    Json list = Json::array();
    for (const processes::Survivor& one : survivors) {
        list.push_back({{"pid", one.process.pid}, {"reason", one.reason}});
    }
    return list;
}

base::Result<> Kills::open() {
    auto timer = loop_.on_time(EventLoop::Priority::processes, [this] {
        step();
        census_.take_news();
    });
    if (!timer) {
        return base::pass(timer);
    }
    timer_ = std::move(*timer);
    return {};
}

void Kills::restore(const journal::States& states) {
    std::vector<std::pair<GroupId, std::uint64_t>> found;
    each_record(states, prefix, chronicle_, [&](const std::string& number, const Json& body) {
        found.emplace_back(GroupId{static_cast<std::uint32_t>(std::stoul(number))},
                           body.value("until_ns", std::uint64_t{0}));
    });
    const std::uint64_t now = monotonic_now_ns();
    for (const auto& [group, until] : found) {
        if (forest_.group(group) == nullptr) {
            chronicle_.erase("", key_of(group));
            continue;
        }
        const std::uint64_t left = std::max<std::uint64_t>(until > now ? until - now : 0, 1'000'000'000);
        start(group, std::chrono::nanoseconds(left));
    }
}

Kills::Running* Kills::find(GroupId group) {
    const auto found = std::find_if(running_.begin(), running_.end(),
                                    [&](const Running& one) { return one.kill.group() == group; });
    return found == running_.end() ? nullptr : &*found;
}

void Kills::start(GroupId group, std::chrono::nanoseconds patience) {
    if (find(group) != nullptr) {
        return;
    }
    const std::string path = forest_.full_path(group);
    const auto until = monotonic_now_ns() + static_cast<std::uint64_t>(patience.count());
    chronicle_.state("", key_of(group), {{"group", path}, {"until_ns", until}});
    running_.push_back({census_.group_kill(group, patience), path, {}});
    step();
}

void Kills::end(GroupId group) {
    const auto found =
        std::ranges::find_if(running_, [&](const Running& one) { return one.kill.group() == group; });
    if (found != running_.end()) {
        finish(*found);
        running_.erase(found);
    }
}

void Kills::step() {
    if (std::exchange(stepping_, Stepping::yes) == Stepping::yes) {
        return;  // asked for by an observer of the step that is under way, which comes to it
    }
    std::chrono::nanoseconds again{};
    for (auto at = running_.begin(); at != running_.end();) {
        const auto status = at->kill.step();
        if (!status.over()) {
            again = again.count() == 0 ? status.again : std::min(again, status.again);
            ++at;
            continue;
        }
        finish(*at);
        at = running_.erase(at);
    }
    stepping_ = Stepping::no;
    loop_.arm(timer_,
              again.count() == 0 ? 0 : monotonic_now_ns() + static_cast<std::uint64_t>(again.count()));
}

void Kills::finish(Running& running) {
    for (const auto& survivor : running.kill.survivors()) {
        chronicle_.note(
            "kill-survivor",
            {{"group", running.path}, {"pid", survivor.process.pid}, {"reason", survivor.reason}});
    }
    chronicle_.erase("", key_of(running.kill.group()));
    for (Waiter& waiter : running.waiters) {
        waiter.reply(answer_of(running.path, running.kill.survivors()));
    }
}

void Kills::wait(GroupId group, std::uint64_t connection, control::Reply reply) {
    Running* running = find(group);
    if (running == nullptr) {
        reply(answer_of(forest_.full_path(group), {}));
    } else if (running->waiters.size() >= most_waits) {
        reply(base::refuse(EBUSY, "too many clients wait already"));
    } else {
        running->waiters.push_back({connection, std::move(reply)});
    }
}

void Kills::disconnected(std::uint64_t connection) {
    for (Running& running : running_) {
        std::erase_if(running.waiters, [&](const Waiter& one) { return one.connection == connection; });
    }
}

}  // namespace gpcsup::supervisor
