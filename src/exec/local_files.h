#pragma once
// /etc/passwd and /etc/group, line by line through one fixed buffer; no NSS, no allocation.

#include "exec/account.h"

namespace gpcsup::exec {

enum class Found { yes, no };

// By name, or by number when `name` is null: uid, primary gid, name, home, shell.
Found find_local_user(const char* name, std::uint32_t uid, Account& account);
Found find_local_group(const char* name, std::uint32_t& gid);
// Every group that lists the account's name, and its primary one.
void collect_local_groups(Account& account);

}  // namespace gpcsup::exec
