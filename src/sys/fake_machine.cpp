#include "sys/fake_machine.h"

#include <cassert>
#include <cerrno>
#include <csignal>

namespace gpcsup::sys {
namespace {

constexpr std::uint64_t tick_ns = 10'000'000;

}  // namespace

FakeMachine::FakeMachine(pid_t root) : root_(root), next_pid_(root + 1) {
    tasks_[root] = Task{.pid = root, .parent = 1, .session = root, .group = root, .start_time = 1};
}

pid_t FakeMachine::fork(pid_t parent) {
    while (tasks_.contains(next_pid_)) {
        ++next_pid_;
    }
    return fork_as(parent, next_pid_++);
}

pid_t FakeMachine::fork_as(pid_t parent, pid_t child) {
    assert(!tasks_.contains(child));
    Task task = tasks_.at(parent);
    task.pid = child;
    task.parent = parent;
    task.start_time = next_start_++;
    task.threads = 1;
    task.state = 'R';
    task.user_ns = task.system_ns = task.children_user_ns = task.children_system_ns = 0;
    task.immune = task.forbidden = false;
    task.received.clear();
    task.others.clear();
    tasks_[child] = task;
    return child;
}

void FakeMachine::run(pid_t pid, Nanoseconds user, Nanoseconds system) {
    at(pid).user_ns += static_cast<std::uint64_t>(user.count());
    at(pid).system_ns += static_cast<std::uint64_t>(system.count());
}

void FakeMachine::exit(pid_t pid) {
    Task& task = at(pid);
    assert(task.state != 'Z');
    task.state = 'Z';
    task.threads = 1;
    task.others.clear();
    for (auto& [number, other] : tasks_) {
        if (other.parent == pid) {
            other.parent = root_;
        }
    }
    if (tasks_.contains(task.parent) && at(task.parent).ignores_children) {
        tasks_.erase(pid);
    }
}

FakeMachine::Task FakeMachine::wait(pid_t pid) {
    const Task task = at(pid);
    assert(task.state == 'Z');
    if (task.parent != root_) {
        Task& parent = at(task.parent);
        parent.children_user_ns += task.user_ns + task.children_user_ns;
        parent.children_system_ns += task.system_ns + task.children_system_ns;
    }
    tasks_.erase(pid);
    return task;
}

base::Result<FakeMachine::Task*> FakeMachine::look(pid_t pid) {
    const auto found = tasks_.find(pid);
    if (found == tasks_.end()) {
        return base::fail(ESRCH, "look at", "process " + std::to_string(pid));
    }
    return &found->second;
}

base::Result<ProcStat> FakeMachine::stat(pid_t pid) {
    for (const auto& [number, process] : tasks_) {
        if (const auto thread = process.others.find(pid); thread != process.others.end()) {
            return ProcStat{.pid = pid,
                            .name = "fake",
                            .state = thread->second,
                            .parent = process.parent,
                            .threads = process.threads,
                            .start_time = process.start_time};
        }
    }
    auto task = look(pid);
    if (!task) {
        return base::pass(task);
    }
    const Task& seen = **task;
    return ProcStat{.pid = pid,
                    .name = "fake",
                    .state = seen.state,
                    .parent = seen.parent,
                    .process_group = seen.group,
                    .session = seen.session,
                    .threads = seen.threads,
                    .user = seen.user_ns / tick_ns,
                    .system = seen.system_ns / tick_ns,
                    .children_user = seen.children_user_ns / tick_ns,
                    .children_system = seen.children_system_ns / tick_ns,
                    .start_time = seen.start_time};
}

base::Result<std::vector<pid_t>> FakeMachine::children(pid_t pid) {
    auto task = look(pid);
    if (!task) {
        return base::pass(task);
    }
    std::vector<pid_t> found;
    for (const auto& [number, other] : tasks_) {
        if (other.parent == pid) {
            found.push_back(number);
        }
    }
    return found;
}

base::Result<std::vector<pid_t>> FakeMachine::tasks(pid_t pid) {
    auto task = look(pid);
    if (!task) {
        return base::pass(task);
    }
    std::vector<pid_t> threads{pid};
    for (const auto& [thread, state] : (*task)->others) {
        threads.push_back(thread);
    }
    return threads;
}

base::Result<std::string> FakeMachine::environ(pid_t pid) {
    auto task = look(pid);
    if (!task) {
        return base::pass(task);
    }
    return (*task)->environment;
}

base::Result<std::string> FakeMachine::status(pid_t pid) {
    auto task = look(pid);
    if (!task) {
        return base::pass(task);
    }
    const auto four = [](auto number) {
        std::string text;
        for (int i = 0; i < 4; ++i) {
            text += "\t" + std::to_string(number);
        }
        return text + "\n";
    };
    return "Name:\tfake\nUid:" + four((*task)->user) + "Gid:" + four((*task)->owner_group) +
           "Groups:\t \nSigIgn:\t" +
           ((*task)->ignores_children ? "0000000000010000\n" : "0000000000000000\n");
}

base::Result<std::string> FakeMachine::executable(pid_t pid) {
    auto task = look(pid);
    if (!task) {
        return base::pass(task);
    }
    return (*task)->executable;
}

base::Result<std::string> FakeMachine::command_line(pid_t pid) {
    auto task = look(pid);
    if (!task) {
        return base::pass(task);
    }
    return std::string("fake\0", 5);
}

base::Result<FakeMachine::Nanoseconds> FakeMachine::process(pid_t pid) {
    auto task = look(pid);
    if (!task) {
        return base::pass(task);
    }
    return Nanoseconds((*task)->own_ns());
}

base::Result<base::Fd> FakeMachine::open(base::ProcessId process) {
    return base::fail(ENOSYS, "open", "process " + std::to_string(process.pid));
}

base::Result<> FakeMachine::send(base::ProcessId process, int signal) {
    auto task = look(process.pid);
    if (!task) {
        return base::pass(task);
    }
    if ((*task)->start_time != process.start_time) {
        return base::fail(ESRCH, "send to", "process " + std::to_string(process.pid));
    }
    if ((*task)->forbidden) {
        return base::fail(EPERM, "send to", "process " + std::to_string(process.pid));
    }
    (*task)->received.insert(signal);
    const bool leader_lives = (*task)->state != 'Z';
    if ((*task)->immune || (!leader_lives && (*task)->others.empty())) {
        return {};
    }
    if (signal == SIGKILL) {
        (*task)->state = 'R';
        exit(process.pid);
        return {};
    }
    const auto follow = [signal](char& state) {
        if (signal == SIGSTOP) {
            state = 'T';
        } else if (signal == SIGCONT && state == 'T') {
            state = 'R';
        }
    };
    if (leader_lives) {
        follow((*task)->state);
    }
    for (auto& [thread, state] : (*task)->others) {
        follow(state);
    }
    return {};
}

}  // namespace gpcsup::sys
