#pragma once
// Release agents: for a group with notify_on_release that has neither processes nor children nor holders
// left, the agent of its hierarchy is started, as a transient unit of the tree's owner, and not waited for.
// One that takes too long is killed, with all that it started.
// When is decided in grouping/release_queue.h; who waits stands in the journal, so each emptying is told at
// least once, whatever becomes of gpcsupd.

#include <map>
#include <string>

#include "grouping/release_queue.h"
#include "journal/journal.h"
#include "supervisor/chronicle.h"
#include "supervisor/kills.h"
#include "supervisor/placing.h"
#include "supervisor/services.h"

namespace gpcsup::supervisor {

class Releases {
  public:
    struct Parts {
        EventLoop& loop;
        grouping::Forest& forest;
        Chronicle& chronicle;
        Services& services;
        units::Engine& engine;
        Placing& placing;
        Kills& kills;
    };
    explicit Releases(const Parts& parts) : parts_(parts) {}
    base::Result<> open();
    void restore(const journal::States& states);  // when the units are there

    void flipped(grouping::GroupId group);    // it became populated, or empty
    void candidate(grouping::GroupId group);  // something of it went
    void go_on();                             // starts what may be started now

  private:
    void tell(grouping::GroupId group);
    void look_for_ended();
    void end(grouping::GroupId group);
    [[nodiscard]] std::string free_name(const std::string& hierarchy) const;
    void drop(grouping::GroupId group, std::string_view reason);

    Parts parts_;
    grouping::ReleaseQueue queue_;
    std::map<grouping::GroupId, std::string> paths_;    // of those that wait
    std::map<std::string, grouping::GroupId> running_;  // the agent's unit → the group it was told of
    Watch timer_;
};

}  // namespace gpcsup::supervisor
