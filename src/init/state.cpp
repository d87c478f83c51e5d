#include "init/state.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "init/environment.h"
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
    for (const Helper& helper : state.helpers) {
        mark(helper.socket, flag);
        if (helper.answer.waiting != 0) {
            mark(helper.answer.descriptor, flag);
        }
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
        helper.answer.descriptor = -1;
        helper.cursor = in_sync;
    }
    return state;
}

State* inherit_state() {
    const char* text = getenv(state_variable);
    if (text == nullptr) {
        return nullptr;
    }
    int descriptor = atoi(text);
    if (descriptor <= STDERR_FILENO || lseek(descriptor, 0, SEEK_END) != static_cast<off_t>(sizeof(State))) {
        say("the state left by the image before cannot be used (descriptor %s)", text);
        return nullptr;
    }
    State* state = map_state(descriptor);
    if (state == nullptr || state->magic != state_magic || state->version != state_version ||
        state->size != sizeof(State) || state->pid != getpid()) {
        say("the state left by the image before is of another version or process");
        return nullptr;
    }
    state->self = descriptor;
    mark_all(*state, FD_CLOEXEC);
    return state;
}

void prepare_reexec(const State& state, char** arguments, char** environment) {
    kept_arguments = arguments;
    copy_environment(kept_environment, environment);
    char number[16];
    snprintf(number, sizeof number, "%d", state.self);
    set_variable(kept_environment, state_variable, number);
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
