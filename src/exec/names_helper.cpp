// Names that only NSS knows: a dynamic program may load its modules, this static one may not.

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>
#include <ctime>

#include "exec/account.h"

namespace gpcsup::exec {
namespace {

constexpr int deadline_ms = 20000;  // a directory server may be slow; a start may not hang for ever
constexpr std::size_t answer_size = 1 << 20;
char answer_text[answer_size];

long monotonic_ms() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// Everything the helper writes until it closes its end. Returns an errno.
int read_answer(int from, std::size_t& length) {
    const long end = monotonic_ms() + deadline_ms;
    for (;;) {
        const long left = end - monotonic_ms();
        pollfd ready{from, POLLIN, 0};
        if (left <= 0 || poll(&ready, 1, static_cast<int>(left)) == 0) {
            return ETIMEDOUT;
        }
        const ssize_t got = read(from, answer_text + length, answer_size - 1 - length);
        if (got < 0 && errno != EINTR) {
            return errno;
        }
        if (got == 0) {
            return 0;
        }
        length += got > 0 ? static_cast<std::size_t>(got) : 0;
        if (length == answer_size - 1) {
            return EMSGSIZE;
        }
    }
}

void copy(char (&to)[max_text], const char* from) {
    const std::size_t length = strnlen(from, max_text - 1);
    std::memcpy(to, from, length);
    to[length] = '\0';
}

// One line: a word, a space, what it says. The helper writes nothing else (see names/main.cpp).
void take_line(char* line, Answer& answer) {
    char* value = std::strchr(line, ' ');
    if (value == nullptr) {
        return;
    }
    *value++ = '\0';
    Account& account = answer.account;
    if (std::strcmp(line, "group") == 0) {
        answer.gid = static_cast<std::uint32_t>(std::strtoul(value, nullptr, 10));
    } else if (std::strcmp(line, "uid") == 0) {
        account.uid = static_cast<std::uint32_t>(std::strtoul(value, nullptr, 10));
    } else if (std::strcmp(line, "gid") == 0) {
        account.gid = static_cast<std::uint32_t>(std::strtoul(value, nullptr, 10));
    } else if (std::strcmp(line, "name") == 0) {
        copy(account.name, value);
    } else if (std::strcmp(line, "home") == 0) {
        copy(account.home, value);
    } else if (std::strcmp(line, "shell") == 0) {
        copy(account.shell, value);
    } else if (std::strcmp(line, "member") == 0 && !account.sets_groups && account.group_count < max_groups) {
        account.groups[account.group_count++] = static_cast<std::uint32_t>(std::strtoul(value, nullptr, 10));
    }
}

int take_answer(int status, const Wanted& wanted, Answer& answer) {
    if (!WIFEXITED(status) || WEXITSTATUS(status) > 2) {
        return EIO;
    }
    if (WEXITSTATUS(status) != 0) {
        return WEXITSTATUS(status) == 1 ? ESRCH : ENOENT;
    }
    for (char* line = strtok(answer_text, "\n"); line != nullptr;) {
        char* next = strtok(nullptr, "\n");
        take_line(line, answer);
        line = next;
    }
    if (wanted.user != nullptr) {
        answer.account.sets_groups = true;
    }
    return 0;
}

}  // namespace

int ask_names_helper(const char* helper, const Wanted& wanted, Answer& answer) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return errno;
    }
    const char* arguments[] = {helper, wanted.user == nullptr ? "" : wanted.user,
                               wanted.group == nullptr ? "" : wanted.group, nullptr};
    char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    char* environment[] = {path, nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    pid_t child = 0;
    const int failed =
        posix_spawn(&child, helper, &actions, nullptr, const_cast<char* const*>(arguments), environment);
    if (failed != 0) {
        close(ends[0]);
        close(ends[1]);
        return failed;
    }
    close(ends[1]);
    std::size_t length = 0;
    const int error = read_answer(ends[0], length);
    close(ends[0]);
    if (error != 0) {
        kill(child, SIGKILL);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    answer_text[length] = '\0';
    return error != 0 ? error : take_answer(status, wanted, answer);
}

}  // namespace gpcsup::exec
