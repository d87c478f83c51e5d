#pragma once
// Whose limits count for the processes that one filter traps. gpc-enforce knows them by rows: a process's
// own, else that of its nearest ancestor that has one, else the domain's. This keeps the rows in line with
// the groups that the processes are in; where the domain itself is, its owner says. What is not possible: a
// process whose parent has just ended counts as the domain until that end has been heard of.

#include <cstdint>
#include <optional>

#include "supervisor/census.h"
#include "supervisor/enforcer.h"

namespace gpcsup::supervisor {

class DomainRows {
  public:
    DomainRows(Census& census, Enforcer& enforcer) : census_(census), enforcer_(enforcer) {}

    // The row of a process, and those of its descendants, whose inheritance changes with it: down to those
    // that have a row and keep it, or all of them. `domain` is the key of the listener.
    enum class Below { changed, all };
    void settle(const processes::Process& process, std::uint64_t domain, Below below) {
        settle(process, domain, below, nullptr);
    }
    // Its children count as the domain from now on, unless they get rows of their own. Domain 0: nobody's.
    void exited(const processes::Process& process, std::uint64_t domain);

  private:
    void settle(const processes::Process& first, std::uint64_t domain, Below below,
                const processes::Process* gone);
    [[nodiscard]] std::optional<grouping::Places> inherited_places(const processes::Process& process,
                                                                   const processes::Process* gone);

    Census& census_;
    Enforcer& enforcer_;
};

}  // namespace gpcsup::supervisor
