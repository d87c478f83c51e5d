#pragma once
// Who the service runs as: numbers from the plan, else from /etc/passwd and /etc/group, else from the names
// helper.

#include <cstdint>

#include "exec/plan.h"

namespace gpcsup::exec {

inline constexpr unsigned max_groups = 65536;  // NGROUPS_MAX of the kernel
inline constexpr unsigned max_text = 1024;     // a home directory or shell; a name

struct Account {
    std::uint32_t uid = wire::no_id;
    std::uint32_t gid = wire::no_id;
    bool sets_groups = false;  // supplementary groups are replaced by `groups`
    unsigned group_count = 0;
    std::uint32_t* groups = nullptr;
    char name[max_text] = {};
    char home[max_text] = {};
    char shell[max_text] = {};
};

// Fills `account` for the plan. Returns an errno: ESRCH when the user, ENOENT when the group is unknown
// everywhere, EINVAL when a numeric user has no entry and the plan names no group (root's group would stay).
int find_account(const Plan& plan, Account& account);

// The helper's part: asks for what the local files do not know. Returns an errno as above.
struct Wanted {
    const char* user = nullptr;  // null = already known
    const char* group = nullptr;
};
struct Answer {                       // where the helper's words go
    Account& account;                 // filled when a user was asked for
    std::uint32_t gid = wire::no_id;  // of the group asked for
};
int ask_names_helper(const char* helper, const Wanted& wanted, Answer& answer);

}  // namespace gpcsup::exec
