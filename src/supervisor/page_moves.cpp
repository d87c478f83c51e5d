#include "supervisor/page_moves.h"

#include <cerrno>
#include <set>

namespace gpcsup::supervisor {

using base::ProcessId;
using grouping::GroupId;

PageMoves::PageMoves(EventLoop& loop, Census& census, const grouping::Forest& forest, Chronicle& chronicle,
                     std::string reader_program)
    : loop_(loop),
      census_(census),
      forest_(forest),
      chronicle_(chronicle),
      mover_(std::move(reader_program), [this](ProcessId process, const launch::PageMover::Outcome& outcome) {
          done(process, outcome);
      }) {}

base::Result<> PageMoves::open() {
    auto timer = loop_.on_time(EventLoop::Priority::idle, [this] {
        watches_.clear();  // a late reader is closed, and its number may be its successor's at once
        mover_.on_deadline(launch::PageMover::Moment{std::chrono::nanoseconds(monotonic_now_ns())});
        rewatch();
    });
    if (!timer) {
        return base::pass(timer);
    }
    timer_ = std::move(*timer);
    return {};
}

// Begins when the loop comes round: what is being set or moved now may be taken back before.
void PageMoves::move(processes::Process& process, GroupId group, const base::CpuList& from,
                     const base::CpuList& to) {
    if (process.start_time == 0) {
        return;
    }
    if (const auto at = groups_.find(process.id()); at == groups_.end() || at->second != group) {
        leave(process.id());
        groups_.emplace(process.id(), group);
        ++tallies_[group].waiting;
    }
    process.flags |= processes::process_moves_pages;
    mover_.add(process.id(), from, to);
    loop_.arm(timer_, monotonic_now_ns());
}

void PageMoves::forget(ProcessId process) {
    leave(process);
    mover_.forget(process);
}

std::uint64_t PageMoves::waiting(GroupId group) const {
    const auto tally = tallies_.find(group);
    return tally == tallies_.end() ? 0 : tally->second.waiting;
}

// It waits for its group no more, whatever becomes of it.
void PageMoves::leave(ProcessId process) {
    const auto at = groups_.find(process);
    if (at == groups_.end()) {
        return;
    }
    const GroupId group = at->second;
    groups_.erase(at);
    if (processes::Process* row = census_.table().find(process)) {
        row->flags &= ~processes::process_moves_pages;
    }
    --tallies_.at(group).waiting;
    tell_when_through(group);
}

void PageMoves::done(ProcessId process, const launch::PageMover::Outcome& outcome) {
    const auto at = groups_.find(process);
    if (at == groups_.end()) {
        return;
    }
    Tally& tally = tallies_.at(at->second);
    ++tally.processes;
    tally.sum.moved += outcome.moved;
    tally.sum.shared += outcome.shared;
    tally.sum.left += outcome.left;
    if (outcome.error != 0 && outcome.error != ESRCH && ++tally.failed == 1) {
        tally.reason =
            base::Error{outcome.error, "move the memory of", "process " + std::to_string(process.pid)}
                .message();
    }
    leave(process);
}

// A group whose processes have all gone has nothing to tell.
void PageMoves::tell_when_through(GroupId group) {
    const auto at = tallies_.find(group);
    if (at->second.waiting > 0) {
        return;
    }
    const Tally tally = std::move(at->second);
    tallies_.erase(at);
    if (tally.processes == 0 || forest_.group(group) == nullptr) {
        return;
    }
    Json body = {{"group", forest_.full_path(group)},
                 {"processes", tally.processes},
                 {"pages", tally.sum.moved},
                 {"shared", tally.sum.shared},
                 {"left", tally.sum.left}};
    if (tally.failed > 0) {
        body["failed"] = tally.failed;
        body["reason"] = tally.reason;
    }
    chronicle_.note("memory-migrated", body);
}

// The reader comes and goes: what the mover has now is watched.
void PageMoves::rewatch() {
    const auto descriptors = mover_.descriptors();
    const std::set<int> wanted(descriptors.begin(), descriptors.end());
    std::erase_if(watches_, [&](const auto& watch) { return !wanted.contains(watch.first); });
    for (const int descriptor : wanted) {
        if (watches_.contains(descriptor)) {
            continue;
        }
        auto watch = loop_.on_readable(descriptor, EventLoop::Priority::idle, [this, descriptor] {
            // Readers that have died are closed in there, and their numbers may be others' afterwards.
            watches_.clear();
            mover_.on_readable(descriptor);
            rewatch();
        });
        if (watch) {
            watches_.emplace(descriptor, std::move(*watch));
        }
    }
    const auto next = mover_.deadline();
    loop_.arm(timer_,
              next ? static_cast<std::uint64_t>(next->time_since_epoch() / std::chrono::nanoseconds(1)) : 0);
}

}  // namespace gpcsup::supervisor
