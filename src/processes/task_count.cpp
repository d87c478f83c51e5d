#include "processes/task_count.h"

namespace gpcsup::processes {

TaskCount TaskCounter::known(grouping::GroupId group) {
    TaskCount count;
    table_.for_each_counted(group, [&](const Process& process) {
        count.tasks += process.threads;
        ++count.processes;
    });
    table_.for_each_dead_counted(group, [&](const Process& process) {
        if (process.has(process_was_zombie)) {
            ++count.tasks;
            ++count.processes;
        }
    });
    return count;
}

void TaskCounter::look(grouping::GroupId group, TrackingQuality quality, const Counted& counted) {
    if (quality == TrackingQuality::sampled) {
        std::vector<pid_t> members;
        table_.for_each_counted(group, [&](const Process& process) { members.push_back(process.pid); });
        for (const pid_t member : members) {
            sweep_.run_below(member, sink_);
        }
    }
    const auto look_at = [&](const Process& process) {
        // Every start of a thread is told before it runs, and every end: one thread is one thread.
        const bool certain = quality == TrackingQuality::exact && process.threads == 1 &&
                             !process.has(process_recount) && !process.has(process_dead);
        if (certain) {
            counted(process, 1);
            return;
        }
        const auto stat = files_.stat(process.pid);
        if (stat && (stat->start_time == process.start_time || process.start_time == 0)) {
            counted(process, stat->threads);
        }
    };
    table_.for_each_counted(group, look_at);
    table_.for_each_dead_counted(group, look_at);
}

TaskCount TaskCounter::exact(grouping::GroupId group, TrackingQuality quality) {
    TaskCount count;
    look(group, quality, [&](const Process&, std::uint64_t tasks) {
        count.tasks += tasks;
        ++count.processes;
    });
    return count;
}

TaskCounter::TasksByGroup TaskCounter::by_group(grouping::GroupId top, grouping::HierarchyId hierarchy,
                                                TrackingQuality quality) {
    TasksByGroup tasks_of;
    look(top, quality, [&](const Process& process, std::uint64_t tasks) {
        tasks_of[table_.place(process, hierarchy)] += tasks;
    });
    return tasks_of;
}

}  // namespace gpcsup::processes
