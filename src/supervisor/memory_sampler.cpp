#include "supervisor/memory_sampler.h"

namespace gpcsup::supervisor {

// First everybody's RSS, which is cheap and waits for nothing; PSS, which is a look at every page, in the
// time that is left.
controllers::Host::MemoryUse MemorySampler::sample(processes::ProcessTable& table, grouping::GroupId group,
                                                   std::chrono::nanoseconds budget) {
    std::vector<base::ProcessId> members;
    table.for_each_member_below(group, [&](const processes::Process& process) {
        if (process.start_time != 0) {
            members.push_back(process.id());
        }
    });
    const auto until = std::chrono::steady_clock::now() + budget;
    const auto resident = reader_.read(members, wire::MemoryFigure::resident, until);
    const auto proportional = reader_.read(members, wire::MemoryFigure::proportional, until);
    controllers::Host::MemoryUse use;
    for (std::size_t at = 0; at < members.size(); ++at) {
        if (resident[at] == wire::memory_unknown) {
            ++use.unread;
            continue;
        }
        use.rss += resident[at];
        if (proportional[at] != wire::memory_unknown) {
            use.pss += proportional[at];
        } else {
            use.pss += resident[at];
            use.estimated += resident[at];
        }
    }
    return use;
}

}  // namespace gpcsup::supervisor
