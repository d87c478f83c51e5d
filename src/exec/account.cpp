#include "exec/account.h"

#include <cerrno>
#include <cstring>

#include <unistd.h>

#include "exec/local_files.h"
#include "exec/memory.h"

namespace gpcsup::exec {
namespace {

int prepare_groups(const Plan& plan, Account& account) {
    const wire::PlanSpan& given = plan.header().supplementary;
    account.groups = allocate<std::uint32_t>(max_groups);
    if (account.groups == nullptr) {
        return errno;
    }
    if (given.offset == 0) {
        return 0;
    }
    if (given.count > max_groups) {
        return EINVAL;
    }
    account.sets_groups = true;
    account.group_count = given.count;
    std::memcpy(account.groups, plan.array<std::uint32_t>(given), given.count * sizeof(std::uint32_t));
    return 0;
}

// Local files first: they are there on every machine and reading them takes microseconds.
Wanted look_locally(const Plan& plan, Account& account, std::uint32_t& group_gid) {
    const wire::LaunchPlan& header = plan.header();
    const char* user = plan.text(header.user_name);
    const char* group = plan.text(header.group_name);
    Wanted wanted;
    if (header.uid != wire::no_id) {
        find_local_user(nullptr, header.uid, account);
        account.uid = header.uid;
    } else if (user != nullptr) {
        if (find_local_user(user, 0, account) == Found::no) {
            wanted.user = user;
        } else if (!account.sets_groups) {
            collect_local_groups(account);
            account.sets_groups = true;
        }
    }
    if (header.gid != wire::no_id) {
        group_gid = header.gid;
    } else if (group != nullptr && find_local_group(group, group_gid) == Found::no) {
        wanted.group = group;
    }
    return wanted;
}

}  // namespace

int find_account(const Plan& plan, Account& account) {
    if (const int error = prepare_groups(plan, account); error != 0) {
        return error;
    }
    std::uint32_t group_gid = wire::no_id;
    const Wanted wanted = look_locally(plan, account, group_gid);
    if (wanted.user != nullptr || wanted.group != nullptr) {
        const char* helper = plan.text(plan.header().names_helper);
        if (helper == nullptr) {
            return wanted.user != nullptr ? ESRCH : ENOENT;
        }
        Answer answer{account};
        if (const int error = ask_names_helper(helper, wanted, answer); error != 0) {
            return error;
        }
        if (wanted.group != nullptr) {
            group_gid = answer.gid;
        }
    }
    if (group_gid != wire::no_id) {
        account.gid = group_gid;
    }
    if (account.uid != wire::no_id && account.gid == wire::no_id && account.uid != geteuid()) {
        return EINVAL;
    }
    // A numeric user without a name gets its primary group and nothing of ours.
    if (account.uid != wire::no_id && !account.sets_groups && account.gid != wire::no_id) {
        if (account.name[0] != '\0') {
            collect_local_groups(account);
        } else {
            account.groups[account.group_count++] = account.gid;
        }
        account.sets_groups = true;
    }
    return 0;
}

}  // namespace gpcsup::exec
