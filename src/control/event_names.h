#pragma once
// Every event there is, by name: the closed list that docs/bus.md promises. gpcsupd writes no other, and what
// filters events knows a slip by it. A new event is a row here.

#include <string_view>

namespace gpcsup::control {

struct EventName {
    std::string_view name;
    std::string_view about;  // one line: when it is told
};

inline constexpr EventName event_names[] = {
    {"applied", "the files on disk were put into force"},
    {"apply-failed", "a step of apply was refused; what had been done was taken back"},
    {"apply-not-undone", "a step of a refused apply could not be taken back"},
    {"attach-undone", "a placement that was cut off by a crash was taken back"},
    {"attached", "processes were moved"},
    {"command-failed", "a stop or reload command could not be started"},
    {"cpus-changed", "CPUs came or went: those that are online now"},
    {"freeze-survivor", "a process of a frozen group that could not be stopped, and why"},
    {"graft-refused", "a running process could not be given a filter, and why: its limits are only observed"},
    {"grafted", "a running process was given a filter: its limits are enforced"},
    {"group-created", "a group was made"},
    {"group-dying", "a group was removed, and a controller still holds it"},
    {"group-empty", "the last process, or thread apart, of a group and all below has gone"},
    {"group-frozen", "all of a group stands still, as far as it can"},
    {"group-populated", "a group, or one below it, has its first process or thread apart"},
    {"group-removed", "a group was removed"},
    {"group-renamed", "a group has another name"},
    {"group-set", "attributes of a group were set"},
    {"group-thawed", "a group is not frozen any more"},
    {"hierarchy-created", "a hierarchy was made"},
    {"hierarchy-rebound", "a hierarchy has other controllers"},
    {"hierarchy-removed", "a hierarchy was removed"},
    {"journal-cut", "the journal ended in a record that was not whole"},
    {"keep-refused", "gpc-init has no room for what a successor of gpcsupd would need, and why"},
    {"kill-survivor", "a process that SIGKILL did not end in time, and why"},
    {"memory-migrated", "memory of processes was moved to the nodes of their group, as far as it could be"},
    {"nodes-changed", "NUMA nodes with memory came or went: those that are there now"},
    {"placed", "a placement rule moved a process"},
    {"refused", "a limit refused something"},
    {"refused-attach", "an attach was refused: which process or unit, and why"},
    {"refused-remove", "the removal of a group was refused, and why"},
    {"refused-set", "settings of a group were refused, and why"},
    {"release-agent", "the release agent was started for a group"},
    {"release-agent-timeout", "a release agent took too long and is killed"},
    {"release-deferred", "a group waits for its release agent, as enough of them run"},
    {"release-dropped", "no release agent was started for a group, and why"},
    {"rule-failed", "a placement rule could not move a process, and why"},
    {"state-lost", "what a predecessor had written could not be read, and was left out"},
    {"stopped", "all services have ended"},
    {"stopping", "all services are being stopped"},
    {"supervisor-replaced", "another gpcsupd took over"},
    {"supervisor-started", "gpcsupd began"},
    {"thread-attached", "threads were moved apart from their process, or to it again"},
    {"unattributed", "a process that no unit owns"},
    {"unit-active", "a unit is active"},
    {"unit-backoff", "a unit waits for its next start"},
    {"unit-done", "a oneshot unit has finished"},
    {"unit-exited", "a unit's main process, or a command of it, has ended"},
    {"unit-failed", "a unit failed"},
    {"unit-inactive", "a unit is inactive"},
    {"unit-reloading", "a unit reads its configuration again"},
    {"unit-starting", "a unit is being started"},
    {"unit-status", "what a unit says of itself (sd_notify STATUS)"},
    {"unit-stopping", "a unit is being stopped"},
    {"untracked", "a process that cannot be tracked, as the table is full"},
};

[[nodiscard]] constexpr bool is_event_name(std::string_view name) {
    for (const EventName& row : event_names) {
        if (row.name == name) {
            return true;
        }
    }
    return false;
}

}  // namespace gpcsup::control
