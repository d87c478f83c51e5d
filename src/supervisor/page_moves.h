#pragma once
// Memory that follows its processes to the nodes of their group: wishes of the controllers, done in the
// background by launch/page_mover.h, and one event for each group when all of its wishes are through. Who is
// not through yet has process_moves_pages in the table, so that a successor goes on.

#include <map>
#include <string>

#include "launch/page_mover.h"
#include "supervisor/census.h"
#include "supervisor/chronicle.h"
#include "supervisor/event_loop.h"

namespace gpcsup::supervisor {

class PageMoves {
  public:
    PageMoves(EventLoop& loop, Census& census, const grouping::Forest& forest, Chronicle& chronicle,
              std::string reader_program);
    base::Result<> open();

    void move(processes::Process& process, grouping::GroupId group, const base::CpuList& from,
              const base::CpuList& to);
    void forget(base::ProcessId process);
    [[nodiscard]] std::uint64_t waiting(grouping::GroupId group) const;

  private:
    struct Tally {  // of a group, since it last had nobody waiting
        std::uint64_t waiting = 0;
        std::uint64_t processes = 0;  // that are through
        std::uint64_t failed = 0;
        std::string reason;  // of the first that failed
        launch::PageMover::Outcome sum;
    };
    void done(base::ProcessId process, const launch::PageMover::Outcome& outcome);
    void leave(base::ProcessId process);
    void tell_when_through(grouping::GroupId group);
    void rewatch();

    EventLoop& loop_;
    Census& census_;
    const grouping::Forest& forest_;
    Chronicle& chronicle_;
    launch::PageMover mover_;
    std::map<base::ProcessId, grouping::GroupId> groups_;  // of those who wait
    std::map<grouping::GroupId, Tally> tallies_;
    std::map<int, Watch> watches_;
    Watch timer_;
};

}  // namespace gpcsup::supervisor
