#include "exec/identity.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include <grp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "exec/memory.h"

namespace gpcsup::exec {
namespace {

bool names(const char* entry, const char* variable) {
    const std::size_t length = std::strlen(variable);
    return std::strncmp(entry, variable, length) == 0 && entry[length] == '=';
}

class Environment {
  public:
    Environment(const char* strings, std::uint32_t count, std::uint32_t extra)
        : entries_(allocate<const char*>(count + extra + 1)) {
        for (std::uint32_t i = 0; i < count && entries_ != nullptr; ++i) {
            entries_[count_++] = strings;
            strings += std::strlen(strings) + 1;
        }
    }
    [[nodiscard]] bool has(const char* variable) const {
        for (std::uint32_t i = 0; i < count_; ++i) {
            if (names(entries_[i], variable)) {
                return true;
            }
        }
        return false;
    }
    void add(const char* entry) { entries_[count_++] = entry; }
    void add_absent(const char* variable, const char* value, char* room, std::size_t size) {
        if (value[0] != '\0' && !has(variable)) {
            std::snprintf(room, size, "%s=%s", variable, value);
            add(room);
        }
    }
    [[nodiscard]] char* const* list() const { return const_cast<char* const*>(entries_); }
    [[nodiscard]] bool valid() const { return entries_ != nullptr; }

  private:
    const char** entries_;
    std::uint32_t count_ = 0;
};

constexpr std::size_t room_size = max_text + 16;

}  // namespace

int become_groups(const Account& account) {
    if (account.sets_groups && setgroups(account.group_count, account.groups) != 0) {
        // An ordinary user's supervisor starting a service as that same user has nothing to change and no
        // right to.
        const bool unchanged = errno == EPERM && account.uid == geteuid() && account.gid == getegid();
        if (!unchanged) {
            return errno;
        }
    }
    if (account.gid != wire::no_id && syscall(SYS_setresgid, account.gid, account.gid, account.gid) != 0) {
        return errno;
    }
    return 0;
}

int become_user(const Account& account) {
    if (account.uid != wire::no_id && syscall(SYS_setresuid, account.uid, account.uid, account.uid) != 0) {
        return errno;
    }
    return 0;
}

int bind_to_parent(const Plan& plan) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
        return errno;
    }
    const pid_t expected = plan.header().init_pid;
    return expected == 0 || getppid() == expected ? 0 : ESRCH;
}

int execute(const Plan& plan, const Account& account) {
    const wire::LaunchPlan& header = plan.header();
    Environment arguments(plan.array<char>(header.arguments), header.arguments.count, 0);
    Environment environment(plan.array<char>(header.environment), header.environment.count, 5);
    if (!arguments.valid() || !environment.valid()) {
        return ENOMEM;
    }
    static char rooms[5][room_size];
    if (account.uid != wire::no_id) {
        environment.add_absent("HOME", account.home, rooms[0], room_size);
        environment.add_absent("USER", account.name, rooms[1], room_size);
        environment.add_absent("LOGNAME", account.name, rooms[2], room_size);
        environment.add_absent("SHELL", account.shell, rooms[3], room_size);
    }
    if (environment.has("LISTEN_FDS") && !environment.has("LISTEN_PID")) {
        std::snprintf(rooms[4], room_size, "LISTEN_PID=%d", static_cast<int>(getpid()));
        environment.add(rooms[4]);
    }
    execve(plan.text(header.executable), arguments.list(), environment.list());
    return errno;
}

}  // namespace gpcsup::exec
