#include "init/protocol.h"

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <initializer_list>

#include "init/channel.h"
#include "init/helpers.h"
#include "init/memory.h"
#include "init/say.h"

namespace gpcsup::init {

namespace {

using wire::HelperKind;
using wire::KeepClass;
using wire::KeepMessage;
using wire::KeepVerb;

constexpr int most_a_round = 64;
constexpr Nanoseconds denied_pause = 50 * millisecond;
constexpr Nanoseconds silence_allowed = 500 * millisecond;
constexpr std::uint64_t class_masks[helper_count] = {wire::supervisor_classes, wire::enforce_classes,
                                                     wire::log_classes};
constexpr std::uint64_t countless_classes = wire::class_bit(KeepClass::log_pipe) |
                                            wire::class_bit(KeepClass::log_writer) |
                                            wire::class_bit(KeepClass::listener);
constexpr char too_many[] = "too many descriptors are open (RLIMIT_NOFILE)";
constexpr std::uint64_t own_classes =
    wire::class_bit(KeepClass::exit_ring) | wire::class_bit(KeepClass::supervisor_wakeup) |
    wire::class_bit(KeepClass::enforce_wakeup) | wire::class_bit(KeepClass::handover);

bool covers(std::uint64_t mask, const wire::KeepKey& key) {
    return (mask & wire::class_bit(key.keep_class)) != 0;
}

// Sends, and remembers what that says about the socket.
Sent send_to(Helper& helper, const KeepMessage& message, int descriptor) {
    Sent sent = send_message(helper.socket, message, descriptor);
    if (sent == Sent::full) {
        helper.full = 1;
    } else if (sent == Sent::denied) {
        helper.not_before = now() + denied_pause;
    }
    return sent;
}

bool may_send(const Helper& helper) {
    return helper.life == Life::running && helper.socket >= 0 && helper.full == 0 &&
           (helper.not_before == 0 || helper.not_before <= now());
}

KeepMessage row_message(const State& state, std::uint32_t row, KeepVerb verb = KeepVerb::deliver) {
    KeepMessage message;
    message.verb = verb;
    message.key = state.table.keys[row];
    memcpy(message.name, state.table.names[row], sizeof message.name);
    return message;
}

void send_set_again(Helper& helper) {
    helper.cursor = 0;
    ++helper.set;
}

// A change of ROW that a helper should hear of at once. If it cannot, it gets the whole set once more.
void tell_change(Helper& helper, std::uint32_t row, const KeepMessage& message, int descriptor) {
    if (helper.life != Life::running || row >= helper.cursor) {
        return;  // its first set has not come that far: it will
    }
    if (!may_send(helper) || send_to(helper, message, descriptor) != Sent::done) {
        send_set_again(helper);
    }
}

void tell_others(State& state, const Helper* except, std::uint32_t row, const KeepMessage& message,
                 int descriptor) {
    for (unsigned i = 0; i < helper_count; ++i) {
        if (&state.helpers[i] != except && covers(class_masks[i], message.key)) {
            tell_change(state.helpers[i], row, message, descriptor);
        }
    }
}

void answer(Helper& helper, const KeepMessage& message) {
    if (may_send(helper) && send_to(helper, message, -1) == Sent::done) {
        return;
    }
    helper.answer.message = message;
    helper.answer.waiting = 1;
}

// To the one who wanted it kept.
void answer_keep(Helper& helper, const KeepMessage& request, KeepVerb verb) {
    KeepMessage message;
    message.verb = verb;
    message.key = request.key;
    message.argument = request.argument;
    answer(helper, message);
}

// There is no end of units and filtered starts. They must not take the last numbers: a helper's successor
// could not be started.
bool takes_reserve(KeepClass keep_class, int descriptor) {
    constexpr rlim_t reserve = 16;
    rlimit limit{};
    return (wire::class_bit(keep_class) & countless_classes) != 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
           static_cast<rlim_t>(descriptor) + reserve >= limit.rlim_cur;
}

// May this helper change what is kept under KEY?
bool may_change(HelperKind kind, const wire::KeepKey& key) {
    if (key.keep_class >= KeepClass::count_ || covers(own_classes, key)) {
        return false;
    }
    return kind == HelperKind::supervisor || covers(class_masks[static_cast<unsigned>(kind)], key);
}

// A pipe of output may still hold some, and gpc-logd may be dead just now: it is kept until gpc-logd has
// emptied it and drops it, too. Without a gpc-logd nobody ever will.
bool must_be_emptied(const State& state, HelperKind by, std::uint32_t row) {
    return state.table.keys[row].keep_class == KeepClass::log_pipe && by == HelperKind::supervisor &&
           state.helpers[static_cast<unsigned>(HelperKind::logd)].life != Life::absent;
}

// It goes on under a key of its own, so that gpc-logd's word for this one pipe cannot be taken for a later
// one's.
void set_aside(State& state, std::uint32_t row) {
    state.table.rename(row);
    state.table.closing[row] = true;
    Helper& logs = helper_of(state, HelperKind::logd);
    tell_change(logs, row, row_message(state, row), state.table.numbers[row]);
    tell_change(logs, row, row_message(state, row, KeepVerb::dropped), -1);
}

// Takes the descriptor over.
void keep(State& state, HelperKind kind, const Received& received) {
    Helper& helper = helper_of(state, kind);
    const KeepMessage& request = received.message;
    const char* problem = nullptr;
    if (!may_change(kind, request.key)) {
        problem = "it may not";
    } else if (received.descriptor < 0) {
        problem = received.truncated ? too_many : "no descriptor came with it";
    } else if (takes_reserve(request.key.keep_class, received.descriptor)) {
        problem = too_many;
    }
    std::uint32_t row = KeepTable::no_row;
    if (problem == nullptr) {
        row = state.table.find(request.key);
        if (row != KeepTable::no_row && must_be_emptied(state, kind, row)) {
            set_aside(state, row);
        }
        row = state.table.put(request.key, request.name, received.descriptor);
        problem = row == KeepTable::no_row ? "the table is full" : nullptr;
    }
    if (problem != nullptr) {
        say("cannot keep %s %llu \"%s\" for %s: %s", class_name(request.key.keep_class),
            static_cast<unsigned long long>(request.key.id), request.name, program_name(kind), problem);
        if (received.descriptor >= 0) {
            close(received.descriptor);
        }
        answer_keep(helper, request, KeepVerb::dropped);
        return;
    }
    if (request.argument != 0) {
        answer_keep(helper, request, KeepVerb::kept);
    }
    tell_others(state, &helper, row, row_message(state, row), state.table.numbers[row]);
}

void drop(State& state, HelperKind kind, const KeepMessage& request) {
    if (!may_change(kind, request.key)) {
        say("%s may not drop %s", program_name(kind), class_name(request.key.keep_class));
        return;
    }
    std::uint32_t row = state.table.find(request.key);
    if (row == KeepTable::no_row) {
        return;
    }
    const KeepMessage message = row_message(state, row, KeepVerb::dropped);
    if (must_be_emptied(state, kind, row)) {
        set_aside(state, row);
    } else if (kind == HelperKind::logd && !state.table.closing[row]) {
        return;  // its word for an older pipe of that key
    } else {
        state.table.remove(row);
    }
    tell_others(state, &helper_of(state, kind), row, message, -1);
}

void obey_supervisor(State& state, const KeepMessage& message, Wishes& wishes) {
    Helper& helper = helper_of(state, HelperKind::supervisor);
    switch (message.verb) {
        case KeepVerb::pong:
            helper.unanswered = 0;
            break;
        case KeepVerb::drained:
            helper.exited_outstanding = 0;
            wishes.drained = true;
            break;
        case KeepVerb::stop:
            state.stop = {1, static_cast<std::int32_t>(message.argument >> 32),
                          static_cast<wire::StopHow>(message.argument & 0xffffffff)};
            break;
        case KeepVerb::reexec:
            wishes.reexec = true;
            break;
        case KeepVerb::helper:
            if (message.argument < helper_count) {
                want_helper(state, static_cast<HelperKind>(message.argument));
            }
            break;
        default:
            say("gpcsupd sent a message with the unknown verb %u", static_cast<unsigned>(message.verb));
    }
}

// Takes the descriptor over.
void obey(State& state, HelperKind kind, const Received& received, Wishes& wishes) {
    const KeepMessage& message = received.message;
    if (message.version != wire::keep_version) {
        say("%s speaks version %u of the keep protocol, not %u", program_name(kind), message.version,
            wire::keep_version);
    } else if (message.verb == KeepVerb::keep) {
        keep(state, kind, received);
        return;
    } else if (message.verb == KeepVerb::drop) {
        drop(state, kind, message);
    } else if (message.verb == KeepVerb::ready) {
        helper_of(state, kind).ready = 1;
        helper_of(state, kind).failures = 0;
        give_back_code();
    } else if (kind == HelperKind::supervisor) {
        obey_supervisor(state, message, wishes);
    } else {
        say("%s sent verb %u, which only gpcsupd may", program_name(kind),
            static_cast<unsigned>(message.verb));
    }
    if (received.descriptor >= 0) {
        close(received.descriptor);
    }
}

int make_kept(State& state, KeepClass keep_class, int descriptor) {
    wire::KeepKey key{keep_class, 0, 0};
    char name[KeepTable::name_size] = {};
    if (descriptor < 0) {
        say("cannot make %s: %s", class_name(keep_class), error_text(errno));
        return -1;
    }
    return state.table.put(key, name, descriptor) == KeepTable::no_row ? -1 : descriptor;
}

}  // namespace

Prepared prepare_kept(State& state) {
    for (KeepClass wakeup : {KeepClass::supervisor_wakeup, KeepClass::enforce_wakeup}) {
        if (make_kept(state, wakeup, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0) {
            return Prepared::no;
        }
    }
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
        say("cannot make the handover socket: %s", error_text(errno));
        return Prepared::no;
    }
    state.handover = ends[0];
    return make_kept(state, KeepClass::handover, ends[1]) < 0 ? Prepared::no : Prepared::yes;
}

void listen_to(State& state, HelperKind kind, Wishes& wishes) {
    Helper& helper = helper_of(state, kind);
    for (int count = 0; count < most_a_round && helper.socket >= 0 && helper.answer.waiting == 0; ++count) {
        Received received = receive_message(helper.socket);
        switch (received.got) {
            case Got::message:
                obey(state, kind, received, wishes);
                break;
            case Got::malformed:
                say("%s sent a message of the wrong size", program_name(kind));
                break;
            case Got::closed:
                // It is dying, and SIGCHLD follows; or else it has lost its only way to be heard.
                close(helper.socket);
                helper.socket = -1;
                helper.not_before = now() + silence_allowed;
                break;
            case Got::nothing:
                return;
        }
    }
}

void read_last_words(State& state, HelperKind kind) {
    Helper& helper = helper_of(state, kind);
    Wishes unheard;
    while (helper.socket >= 0) {
        Received received = receive_message(helper.socket);
        if (received.got == Got::nothing || received.got == Got::closed) {
            return;
        }
        if (received.got == Got::malformed) {
            continue;
        }
        const KeepVerb verb = received.message.verb;
        if (verb == KeepVerb::keep || verb == KeepVerb::drop || verb == KeepVerb::ready ||
            verb == KeepVerb::helper) {
            helper.answer.waiting = 0;
            obey(state, kind, received, unheard);
        } else if (received.descriptor >= 0) {
            close(received.descriptor);
        }
    }
}

void listen_to_handover(State& state) {
    for (int count = 0; count < most_a_round; ++count) {
        ReceivedHandover received = receive_handover(state.handover);
        if (received.got == Got::nothing || received.got == Got::closed) {
            return;
        }
        if (received.got == Got::malformed) {
            say("a handover without its two descriptors: %s", received.truncated ? too_many : "malformed");
            continue;
        }
        wire::KeepKey key{KeepClass::listener, 0, received.message.listener_key};
        char name[KeepTable::name_size] = {};
        const bool room = !takes_reserve(KeepClass::listener, received.listener);
        std::uint32_t row = room && received.message.version == wire::keep_version
                                ? state.table.put(key, name, received.listener)
                                : KeepTable::no_row;
        if (row == KeepTable::no_row) {
            // No acknowledgement: gpc-exec sees the closed end and reports the step `handover`.
            say("cannot keep the listener %llu: %s", static_cast<unsigned long long>(key.id),
                room ? "the table is full" : too_many);
            close(received.listener);
        } else {
            tell_others(state, nullptr, row, row_message(state, row), received.listener);
            const char done = 1;
            [[maybe_unused]] auto sent =
                send(received.answer, &done, sizeof done, MSG_NOSIGNAL | MSG_DONTWAIT);
        }
        close(received.answer);
    }
}

namespace {

bool exited_owed(HelperKind kind, const Helper& helper, const wire::ExitRing& ring) {
    return kind == HelperKind::supervisor && helper.cursor == in_sync && helper.exited_outstanding == 0 &&
           ring.head.load(std::memory_order_relaxed) != ring.tail.load(std::memory_order_acquire);
}

Sent tell_answer(Helper& helper) {
    Sent sent = send_to(helper, helper.answer.message, -1);
    if (sent == Sent::done) {
        helper.answer.waiting = 0;
    }
    return sent;
}

Sent tell_set(State& state, HelperKind kind) {
    Helper& helper = helper_of(state, kind);
    for (; helper.cursor < state.table.used; ++helper.cursor) {
        const std::uint32_t row = helper.cursor;
        if (state.table.numbers[row] < 0 ||
            !covers(class_masks[static_cast<unsigned>(kind)], state.table.keys[row])) {
            continue;
        }
        KeepMessage message = row_message(state, row);
        message.argument = helper.set;
        Sent sent = send_to(helper, message, state.table.numbers[row]);
        if (sent == Sent::done && state.table.closing[row]) {
            sent = send_to(helper, row_message(state, row, KeepVerb::dropped), -1);
        }
        if (sent != Sent::done) {
            return sent;
        }
    }
    KeepMessage message;
    message.verb = KeepVerb::delivered;
    message.argument = helper.set;
    message.key.id = wire::init_abilities;
    Sent sent = send_to(helper, message, -1);
    if (sent == Sent::done) {
        helper.cursor = in_sync;
    }
    return sent;
}

Sent tell_signals(Helper& helper) {
    for (unsigned number = 1; number < 64; ++number) {
        const std::uint64_t bit = std::uint64_t{1} << number;
        if ((helper.owed_signals & bit) == 0) {
            continue;
        }
        KeepMessage message;
        message.verb = KeepVerb::signal;
        message.argument = number;
        Sent sent = send_to(helper, message, -1);
        if (sent != Sent::done) {
            return sent;
        }
        helper.owed_signals &= ~bit;
    }
    return Sent::done;
}

Sent tell_word(Helper& helper, KeepVerb verb, std::uint32_t& done_flag, std::uint32_t done_value) {
    KeepMessage message;
    message.verb = verb;
    Sent sent = send_to(helper, message, -1);
    if (sent == Sent::done) {
        done_flag = done_value;
    }
    return sent;
}

}  // namespace

Owing owing(const State& state, HelperKind kind, const wire::ExitRing& ring) {
    const Helper& helper = state.helpers[static_cast<unsigned>(kind)];
    if (helper.life != Life::running || helper.socket < 0) {
        return Owing::nothing;
    }
    const bool something = helper.answer.waiting != 0 || helper.cursor != in_sync ||
                           helper.owed_signals != 0 || helper.ping_owed != 0 ||
                           exited_owed(kind, helper, ring);
    return something ? Owing::something : Owing::nothing;
}

void tell(State& state, HelperKind kind, const wire::ExitRing& ring) {
    Helper& helper = helper_of(state, kind);
    if (!may_send(helper)) {
        return;
    }
    helper.not_before = 0;
    Sent sent = Sent::done;
    if (helper.answer.waiting != 0) {
        sent = tell_answer(helper);
    }
    if (sent == Sent::done && helper.cursor != in_sync) {
        sent = tell_set(state, kind);
    }
    if (sent == Sent::done && helper.owed_signals != 0) {
        sent = tell_signals(helper);
    }
    if (sent == Sent::done && helper.ping_owed != 0) {
        sent = tell_word(helper, KeepVerb::ping, helper.ping_owed, 0);
    }
    if (sent == Sent::done && exited_owed(kind, helper, ring)) {
        sent = tell_word(helper, KeepVerb::exited, helper.exited_outstanding, 1);
    }
    if (sent == Sent::gone && helper.answer.waiting != 0) {
        // Nobody is left to be answered: read on, up to the end that listen_to() acts upon.
        helper.answer.waiting = 0;
    }
}

}  // namespace gpcsup::init
