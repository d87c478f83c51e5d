// gpc-names USER GROUP: looks names up through NSS for gpc-exec, which is static and cannot. An empty
// argument asks for nothing. Writes one word and its value a line: uid, gid, name, home, shell, one `member`
// for each group, group. Exit status: 0 found, 1 no such user, 2 no such group, 3 the lookup itself failed.

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include <grp.h>
#include <pwd.h>

namespace {

enum class Exit { found = 0, no_user = 1, no_group = 2, failed = 3 };

constexpr int first_groups = 256;

Exit print_groups(const passwd& entry) {
    int count = first_groups;
    auto* groups = static_cast<gid_t*>(std::malloc(sizeof(gid_t) * first_groups));
    if (groups != nullptr && getgrouplist(entry.pw_name, entry.pw_gid, groups, &count) < 0) {
        auto* more = static_cast<gid_t*>(std::realloc(groups, sizeof(gid_t) * static_cast<unsigned>(count)));
        if (more == nullptr || getgrouplist(entry.pw_name, entry.pw_gid, more, &count) < 0) {
            return Exit::failed;
        }
        groups = more;
    }
    if (groups == nullptr) {
        return Exit::failed;
    }
    for (int i = 0; i < count; ++i) {
        std::printf("member %u\n", groups[i]);
    }
    std::free(groups);
    return Exit::found;
}

Exit print_user(const char* name) {
    errno = 0;
    const passwd* entry = getpwnam(name);
    if (entry == nullptr) {
        return errno == 0 || errno == ENOENT || errno == ESRCH ? Exit::no_user : Exit::failed;
    }
    std::printf("uid %u\ngid %u\nname %s\nhome %s\nshell %s\n", entry->pw_uid, entry->pw_gid, entry->pw_name,
                entry->pw_dir, entry->pw_shell);
    return print_groups(*entry);
}

Exit print_group(const char* name) {
    errno = 0;
    const group* entry = getgrnam(name);
    if (entry == nullptr) {
        return errno == 0 || errno == ENOENT || errno == ESRCH ? Exit::no_group : Exit::failed;
    }
    std::printf("group %u\n", entry->gr_gid);
    return Exit::found;
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 3) {
        std::fputs("usage: gpc-names USER GROUP\n", stderr);
        return static_cast<int>(Exit::failed);
    }
    Exit status = arguments[1][0] == '\0' ? Exit::found : print_user(arguments[1]);
    if (status == Exit::found && arguments[2][0] != '\0') {
        status = print_group(arguments[2]);
    }
    return std::fflush(stdout) == 0 ? static_cast<int>(status) : static_cast<int>(Exit::failed);
}
