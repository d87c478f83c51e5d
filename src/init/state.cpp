#include "init/state.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "init/environment.h"
#include "init/reaper.h"
#include "init/say.h"

namespace gpcsup::init {

namespace {

char** kept_arguments;
Environment kept_environment;

State* map_state(int descriptor) {
    void* memory = mmap(nullptr, sizeof(State), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    return memory == MAP_FAILED ? nullptr : static_cast<State*>(memory);
}

// FLAG is FD_CLOEXEC or 0.
void mark(int descriptor, int flag) {
    if (descriptor >= 0) {
        fcntl(descriptor, F_SETFD, flag);
    }
}

void mark_all(const State& state, int flag) {
    mark(state.self, flag);
    mark(state.lock, flag);
    mark(state.handover, flag);
    mark(state.image > STDERR_FILENO ? state.image : -1, flag);
    for (const Helper& helper : state.helpers) {
        mark(helper.socket, flag);
    }
    for (std::uint32_t row = 0; row < state.table.used; ++row) {
        mark(state.table.numbers[row], flag);
    }
}

}  // namespace

Helper& helper_of(State& state, wire::HelperKind kind) {
    return state.helpers[static_cast<unsigned>(kind)];
}

State* create_state() {
    int descriptor = memfd_create("gpc-init state", MFD_CLOEXEC);
    if (descriptor < 0 || ftruncate(descriptor, sizeof(State)) < 0) {
        say("cannot make the shared memory for the state: %s", error_text(errno));
        return nullptr;
    }
    State* state = map_state(descriptor);
    if (state == nullptr) {
        say("cannot map the state: %s", error_text(errno));
        return nullptr;
    }
    state->magic = state_magic;
    state->version = state_version;
    state->size = sizeof(State);
    state->pid = getpid();
    state->self = descriptor;
    state->lock = -1;
    state->handover = -1;
    for (Helper& helper : state->helpers) {
        helper.socket = -1;
        helper.cursor = in_sync;
    }
    return state;
}

namespace {

struct Heading {
    std::uint32_t magic;
    std::uint32_t version;
    std::uint32_t size;
    Role role;
    pid_t pid;
};
static_assert(offsetof(State, pid) == offsetof(Heading, pid) && offsetof(State, size) == 8);

// An older program's State is shorter: what it did not know is zero.
State* lengthen(int descriptor, const Heading& heading) {
    if (heading.size < sizeof(State) && ftruncate(descriptor, sizeof(State)) < 0) {
        return nullptr;
    }
    State* state = map_state(descriptor);
    if (state != nullptr && state->size < sizeof(State)) {
        state->size = sizeof(State);
    }
    return state;
}

// The program that knows this State: its children, what it keeps and what it was asked for are still its
// own. Without the variable it cannot be sent here a second time.
void give_back(char** arguments, char** environment) {
    const char* text = getenv(image_variable);
    const int image = text == nullptr ? -1 : atoi(text);
    if (image <= STDERR_FILENO) {
        return;
    }
    say("going on with the program before; to have this one, end gpc-init and start it");
    unsigned kept = 0;
    for (char** entry = environment; *entry != nullptr; ++entry) {
        const std::size_t length = sizeof image_variable - 1;
        if (strncmp(*entry, image_variable, length) != 0 || (*entry)[length] != '=') {
            environment[kept++] = *entry;
        }
    }
    environment[kept] = nullptr;
    syscall(SYS_execveat, image, "", arguments, environment, AT_EMPTY_PATH);  // musl has no wrapper
    say("cannot: %s", error_text(errno));
}

}  // namespace

State* inherit_state(char** arguments, char** environment) {
    const char* text = getenv(state_variable);
    if (text == nullptr) {
        return nullptr;
    }
    int descriptor = atoi(text);
    Heading heading{};
    if (descriptor <= STDERR_FILENO ||
        pread(descriptor, &heading, sizeof heading, 0) != static_cast<ssize_t>(sizeof heading) ||
        heading.magic != state_magic || heading.pid != getpid()) {
        say("descriptor %s is no state of an image before", text);
        return nullptr;
    }
    State* state = heading.version == state_version ? lengthen(descriptor, heading) : nullptr;
    if (state == nullptr || exit_ring_fits(*state) == Fits::no) {
        say("the state left by the image before is of another version (%u, not %u)", heading.version,
            state_version);
        give_back(arguments, environment);
        return nullptr;
    }
    state->self = descriptor;
    mark_all(*state, FD_CLOEXEC);
    return state;
}

void hold_image(State& state) {
    const int older = state.image;
    state.image = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (older > STDERR_FILENO) {
        close(older);
    }
}

void prepare_reexec(const State& state, char** arguments, char** environment) {
    kept_arguments = arguments;
    copy_environment(kept_environment, environment);
    char number[16];
    snprintf(number, sizeof number, "%d", state.self);
    set_variable(kept_environment, state_variable, number);
    if (state.image > STDERR_FILENO) {
        snprintf(number, sizeof number, "%d", state.image);
        set_variable(kept_environment, image_variable, number);
    }
}

void replace_self(State& state) {
    mark_all(state, 0);
    execve(state.executable, kept_arguments, kept_environment.entries);
    // The program may have been replaced by an installation that went wrong: the running image is still
    // reachable.
    execve("/proc/self/exe", kept_arguments, kept_environment.entries);
    mark_all(state, FD_CLOEXEC);
}

}  // namespace gpcsup::init
