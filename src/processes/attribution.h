#pragma once
// Whose is a process that appeared as a child of gpc-init without a start intent? In this order: the
// unit its environment names; a process of its session; one of its process group; a helper of ours, which is
// in the root groups and no news; else nobody's: the root groups, and an event. The environment can be
// cleared and the session left, which is why there are several.

#include <optional>
#include <string_view>

#include "processes/process_table.h"
#include "sys/proc_files.h"

namespace gpcsup::processes {

// In rows that outlive gpcsupd: a number is never another's.
enum class Attribution : std::uint8_t { intent, marker = 2, session, process_group, helper, nobody };
[[nodiscard]] const char* to_string(Attribution attribution);

// Kept in the process's row, for who asks later.
inline void remember(Process& process, Attribution how) {
    process.flags = (process.flags & ~process_attribution_mask) |
                    (static_cast<std::uint32_t>(how) << process_attribution_shift);
}
[[nodiscard]] inline Attribution attribution_of(const Process& process) {
    return static_cast<Attribution>((process.flags & process_attribution_mask) >> process_attribution_shift);
}

inline constexpr std::string_view marker_variable =
    "GPCSUP_ID";  // in a service's environment: the unit's name

// What only the supervisor knows. Memberships are interned anew for each answer: one that nobody holds does
// not last.
class Origins {
  public:
    virtual ~Origins() = default;
    // The groups of a process that gpcsupd started (its pid is in a start slot), or empty.
    virtual std::optional<grouping::MembershipId> intent(pid_t pid) = 0;
    // The groups that the marker's value stands for (those of the unit of this name), or empty when there is
    // no such unit.
    virtual std::optional<grouping::MembershipId> marked(std::string_view value) = 0;
};

class Attributor {
  public:
    Attributor(ProcessTable& table, sys::ProcFiles& files, Origins& origins);

    struct Answer {
        Attribution how = Attribution::nobody;
        grouping::MembershipId membership;  // 0 = the roots
    };
    Answer attribute(pid_t pid, const sys::ProcStat& stat);
    // The groups of whoever is, or was a moment ago, in this session. For a process that is gone already.
    std::optional<grouping::Places> places_of_session(pid_t session) const;

  private:
    std::optional<grouping::MembershipId> of_session(const sys::ProcStat& stat) const;
    std::optional<grouping::MembershipId> of_process_group(const sys::ProcStat& stat) const;
    ProcessTable& table_;
    sys::ProcFiles& files_;
    Origins& origins_;
    pid_t root_session_ = 0;
    pid_t root_group_ = 0;
};

}  // namespace gpcsup::processes
