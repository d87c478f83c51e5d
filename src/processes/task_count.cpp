#include "processes/task_count.h"

namespace gpcsup::processes {

TaskCount TaskCounter::known(grouping::GroupId group) {
    TaskCount count;
    table_.for_each_member_below(group, [&](const Process& process) {
        count.tasks += process.threads;
        ++count.processes;
    });
    table_.for_each_dead_below(group, [&](const Process& process) {
        if (process.has(process_was_zombie)) {
            ++count.tasks;
            ++count.processes;
        }
    });
    return count;
}

TaskCount TaskCounter::exact(grouping::GroupId group, TrackingQuality quality) {
    if (quality == TrackingQuality::sampled) {
        std::vector<pid_t> members;
        table_.for_each_member_below(group, [&](const Process& process) { members.push_back(process.pid); });
        for (const pid_t member : members) {
            sweep_.run_below(member, sink_);
        }
    }
    TaskCount count;
    const auto look = [&](const Process& process) {
        // Every start of a thread is told before it runs, and every end: one thread is one thread.
        const bool certain = quality == TrackingQuality::exact && process.threads == 1 &&
                             !process.has(process_recount) && !process.has(process_dead);
        if (certain) {
            ++count.tasks;
            ++count.processes;
            return;
        }
        const auto stat = files_.stat(process.pid);
        if (stat && (stat->start_time == process.start_time || process.start_time == 0)) {
            count.tasks += stat->threads;
            ++count.processes;
        }
    };
    table_.for_each_member_below(group, look);
    table_.for_each_dead_below(group, look);
    return count;
}

}  // namespace gpcsup::processes
