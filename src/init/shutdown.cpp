#include "init/shutdown.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "init/mounts.h"
#include "init/priority.h"
#include "init/proc.h"
#include "init/runtime.h"
#include "init/say.h"
#include "init/step.h"

namespace gpcsup::init {

namespace {

constexpr Nanoseconds log_patience = 5 * second;
constexpr Nanoseconds term_patience = 5 * second;
constexpr Nanoseconds kill_patience = 5 * second;
constexpr Nanoseconds sync_patience = 60 * second;
constexpr int container_reboot_status = 133;  // what systemd-nspawn and others take for "start me again"

// gpc-logd writes what is still in the pipes and ends when its socket does. Its pipes end when the kept
// writers do.
void finish_logs(State& state) {
    Helper& logs = helper_of(state, wire::HelperKind::logd);
    for (std::uint32_t row = 0; row < state.table.used; ++row) {
        if (state.table.numbers[row] >= 0 &&
            state.table.keys[row].keep_class == wire::KeepClass::log_writer) {
            close(state.table.numbers[row]);
            state.table.numbers[row] = -1;
        }
    }
    if (logs.life != Life::running || logs.socket < 0) {
        return;
    }
    close(logs.socket);
    logs.socket = -1;
    if (reap_until(logs.pid, now() + log_patience) == Emptied::no) {
        say("gpc-logd has not ended within 5 s");
    }
}

void end_processes() {
    announce("ending all processes");
    kill(-1, SIGTERM);
    kill(-1, SIGCONT);
    if (reap_until(0, now() + term_patience) == Emptied::no) {
        kill(-1, SIGKILL);
        if (reap_until(0, now() + kill_patience) == Emptied::no) {
            announce("some processes could not be killed");
        }
    }
}

void end_swap() {
    static char text[4096];
    if (read_file("/proc/swaps", text, sizeof text) <= 0) {
        return;
    }
    char* rest = nullptr;
    strtok_r(text, "\n", &rest);  // the heading
    while (char* line = strtok_r(nullptr, "\n", &rest)) {
        line[strcspn(line, " \t")] = '\0';
        announce("ending swap on %s", line);
        run_step("swapoff", sync_patience, [line] { swapoff(line); });
    }
}

[[noreturn]] void call_kernel(wire::StopHow how) {
    switch (how) {
        case wire::StopHow::poweroff:
            announce("powering off");
            reboot(RB_POWER_OFF);
            break;
        case wire::StopHow::halt:
            announce("halted: the machine may be switched off");
            reboot(RB_HALT_SYSTEM);
            break;
        default:
            announce("rebooting");
            reboot(RB_AUTOBOOT);
    }
    announce("the kernel refuses: %s", error_text(errno));
    for (;;) {
        pause();
    }
}

[[noreturn]] void end_container(const State& state, wire::StopHow how) {
    release_runtime(state);
    if (how == wire::StopHow::reboot) {
        reboot(RB_AUTOBOOT);  // in a pid namespace: its parent sees it end by SIGHUP, where that is permitted
        _exit(container_reboot_status);
    }
    _exit(0);
}

}  // namespace

void leave(State& state, int status) {
    lower_priority();
    finish_logs(state);
    Emptied emptied = Emptied::no;
    if (state.role == Role::subreaper) {
        emptied = kill_descendants(now() + kill_patience);
    } else {
        kill(-1, SIGKILL);  // PID 1: all there is, whether /proc is there or not
        emptied = reap_until(0, now() + kill_patience);
    }
    if (emptied == Emptied::no) {
        say("some processes could not be killed");
    }
    release_runtime(state);
    _exit(status);
}

void stop_system(State& state, wire::StopHow how) {
    lower_priority();
    finish_logs(state);
    end_processes();
    if (state.role != Role::machine) {
        end_container(state, how);
    }
    end_swap();
    for (MountList list; list.next_round() == Round::useful;) {
        while (const Mount* mount = list.next()) {
            run_step(mount->place, mount_patience, [mount] { end_mount(*mount); });
        }
    }
    announce("writing what is left to the disks");
    run_step("sync", sync_patience, [] { sync(); });
    call_kernel(how);
}

void reboot_now() {
    announce("rebooting at once");
    run_apart("sync", 2 * second, [] { sync(); });
    call_kernel(wire::StopHow::reboot);
}

}  // namespace gpcsup::init
