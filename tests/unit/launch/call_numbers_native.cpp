#include <asm/unistd_64.h>

#include <utility>

#include "launch/call_numbers.h"

namespace gpcsup::test {

int native_number(std::string_view name) {
    constexpr std::pair<std::string_view, int> numbers[] = {
        {"fork", __NR_fork},
        {"vfork", __NR_vfork},
        {"clone", __NR_clone},
        {"clone3", __NR_clone3},
        {"sched_setaffinity", __NR_sched_setaffinity},
        {"set_mempolicy", __NR_set_mempolicy},
        {"mbind", __NR_mbind},
        {"migrate_pages", __NR_migrate_pages},
        {"set_mempolicy_home_node", __NR_set_mempolicy_home_node},
        {"io_uring_setup", __NR_io_uring_setup},
        {"io_uring_register", __NR_io_uring_register},
    };
    for (const auto& [known, number] : numbers) {
        if (known == name) {
            return number;
        }
    }
    return -1;
}

}  // namespace gpcsup::test
