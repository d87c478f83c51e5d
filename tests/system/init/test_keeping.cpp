// What is kept survives: the helpers' deaths, gpc-init's own replacement, its fatal signals.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <map>

#include "instance.h"

namespace gpcsup::tests {

namespace {

using wire::KeepClass;
using wire::KeepVerb;

base::Fd make_memory(const char* name) {
    return base::Fd(memfd_create(name, MFD_CLOEXEC));
}

// Sends a listener as gpc-exec does. Returns the end on which the acknowledgement comes.
base::Fd hand_over(int handover, std::uint64_t key, int listener) {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    wire::HandoverMessage message;
    message.listener_key = key;
    int descriptors[2] = {listener, ends[1]};
    iovec part{&message, sizeof message};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof descriptors)] = {};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    cmsghdr* item = CMSG_FIRSTHDR(&header);
    item->cmsg_level = SOL_SOCKET;
    item->cmsg_type = SCM_RIGHTS;
    item->cmsg_len = CMSG_LEN(sizeof descriptors);
    memcpy(CMSG_DATA(item), descriptors, sizeof descriptors);
    REQUIRE(sendmsg(handover, &header, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof message));
    close(ends[1]);
    return base::Fd(ends[0]);
}

// One byte, then the end.
bool acknowledged(int end) {
    char byte = 0;
    pollfd place{end, POLLIN, 0};
    return poll(&place, 1, static_cast<int>(patience.count())) > 0 && recv(end, &byte, 1, 0) == 1 &&
           poll(&place, 1, static_cast<int>(patience.count())) > 0 && recv(end, &byte, 1, 0) == 0;
}

void start(Part& supervisor, wire::HelperKind kind) {
    supervisor.send(KeepVerb::helper, static_cast<std::uint64_t>(kind));
}

}  // namespace

TEST_CASE("the first set has what gpc-init makes, and the directories are told") {
    const uid_t user = GENERATE(from_range(identities()));
    // As nohup does: not what a helper is to inherit. The second one is musl's own.
    const auto before = signal(SIGHUP, SIG_IGN);
    const auto before_real_time = signal(34, SIG_IGN);
    Instance init(
        {.user = user, .arguments = {"--config", "relative.toml", "--units", "/u/a", "--units=/u/b"}});
    signal(SIGHUP, before);
    signal(34, before_real_time);
    Part part(init.await_helper("gpcsupd"));
    std::vector<Letter> set = part.receive_set();
    CHECK(set.size() == 4);
    for (KeepClass made : {KeepClass::exit_ring, KeepClass::supervisor_wakeup, KeepClass::enforce_wakeup,
                           KeepClass::handover}) {
        const Letter* letter = find(set, made);
        REQUIRE(letter != nullptr);
        CHECK((fcntl(letter->descriptor.get(), F_GETFD) & FD_CLOEXEC) != 0);
    }
    std::string environment = read_file("/proc/" + std::to_string(part.pid()) + "/environ");
    for (char& byte : environment) {
        byte = byte == '\0' ? '\n' : byte;
    }
    environment = "\n" + environment;
    char here[4096];
    REQUIRE(getcwd(here, sizeof here) != nullptr);
    CHECK(environment.find("\nGPCSUP_RUNTIME=" + init.runtime() + "\n") != std::string::npos);
    CHECK(environment.find("\nGPCSUP_CONFIG=" + std::string(here) + "/relative.toml\n") != std::string::npos);
    CHECK(environment.find("\nGPCSUP_UNITS=/u/a:/u/b\n") != std::string::npos);
    CHECK(environment.find("\nGPCSUP_GENERATION=1\n") != std::string::npos);
    CHECK(environment.find("\nGPCSUP_STATE=") == std::string::npos);
    // Nothing but its three standard descriptors and the channel reaches a helper; the fake has closed the
    // channel.
    CHECK(access(("/proc/" + std::to_string(part.pid()) + "/fd/5").c_str(), F_OK) != 0);
    CHECK(status_number(part.pid(), "SigBlk") == 0);
    CHECK(status_number(part.pid(), "SigIgn") == 0);
}

TEST_CASE("kept descriptors outlive a helper, a replacement of gpc-init and its fatal signals") {
    const uid_t user = GENERATE(from_range(identities()));
    const std::string event = GENERATE("kill", "reexec", "segv", "abort");
    INFO("user " << user << ", event " << event);
    Instance init({.user = user});
    std::optional<Part> part(init.await_helper("gpcsupd"));
    std::vector<Letter> first = part->receive_set();
    part->send(KeepVerb::ready);
    base::Fd journal = make_memory("journal");
    base::Fd older = make_memory("older");
    base::Fd forgotten = make_memory("forgotten");
    part->keep(KeepClass::journal, 0, older.get(), "older");
    part->keep(KeepClass::journal, 0, journal.get(), "the journal");
    part->keep(KeepClass::log_writer, 7, forgotten.get());
    part->drop(KeepClass::log_writer, 7);
    pid_t service = 0;
    base::Fd orphans = part->start_service(service);

    if (event == "kill") {
        kill(part->pid(), SIGKILL);
    } else if (event == "reexec") {
        part->send(KeepVerb::reexec);
        REQUIRE(init.await_words("back, with"));
    } else {
        // What it was told before it is hit is done first: ask for something and see the answer.
        part->settle();
        kill(init.pid(), event == "segv" ? SIGSEGV : SIGABRT);
        REQUIRE(init.await_words("back, with"));
    }
    if (event != "kill") {
        CHECK(is_alive(part->pid()));  // the same gpcsupd, on the same channel
        part->settle();
        kill(part->pid(), SIGKILL);
    }
    part.emplace(init.await_helper("gpcsupd"));
    CHECK(part->generation() == 2);
    std::vector<Letter> second = part->receive_set();
    CHECK(second.size() == 5);
    for (const Letter& letter : first) {
        const Letter* same = find(second, letter.message.key.keep_class);
        REQUIRE(same != nullptr);
        CHECK(inode(same->descriptor.get()) == inode(letter.descriptor.get()));
    }
    const Letter* kept = find(second, KeepClass::journal);
    REQUIRE(kept != nullptr);
    CHECK(inode(kept->descriptor.get()) == inode(journal.get()));
    CHECK(std::string(kept->message.name) == "the journal");
    CHECK(is_alive(service));
    CHECK(is_alive(init.pid()));
    // It still reaps.
    OrphanOrder order{1, 1};
    REQUIRE(::send(orphans.get(), &order, sizeof order, MSG_NOSIGNAL) > 0);
    CHECK(part->await(KeepVerb::exited));
}

namespace {

// The memfd of its State, from outside.
base::Fd open_state(pid_t pid) {
    const std::string directory = "/proc/" + std::to_string(pid) + "/fd";
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        std::error_code ignored;
        if (std::filesystem::read_symlink(entry, ignored).string().find("gpc-init state") !=
            std::string::npos) {
            return base::Fd(open(entry.path().c_str(), O_RDWR | O_CLOEXEC));
        }
    }
    return {};
}

void expect_everything_kept(Instance& init, Part& part, const base::Fd& journal) {
    REQUIRE(init.await_words("back, with"));
    CHECK(is_alive(part.pid()));
    part.settle();  // the same gpcsupd, on the same channel
    kill(part.pid(), SIGKILL);
    Part next(init.await_helper("gpcsupd"));
    CHECK(next.generation() == 2);
    const std::vector<Letter> set = next.receive_set();
    const Letter* kept = find(set, KeepClass::journal);
    REQUIRE(kept != nullptr);
    CHECK(inode(kept->descriptor.get()) == inode(journal.get()));
}

}  // namespace

TEST_CASE("a program that cannot read the State gives the process back, and nothing is lost") {
    const uid_t user = GENERATE(from_range(identities()));
    Instance init({.user = user});
    Part part(init.await_helper("gpcsupd"));
    part.receive_set();
    part.send(KeepVerb::ready);
    base::Fd journal = make_memory("journal");
    part.keep(KeepClass::journal, 0, journal.get());
    const std::string program = init.directory() + "/bin/gpc-init";
    std::filesystem::copy(std::string(getenv("GPCSUP_SUPPORT")) + "/gpc-init-next", program + ".new");
    std::filesystem::rename(program + ".new", program);
    part.send(KeepVerb::reexec);
    REQUIRE(init.await_words("of another version (1, not 2)"));
    expect_everything_kept(init, part, journal);
}

TEST_CASE("the State of an older program, which is shorter, is taken over") {
    const uid_t user = GENERATE(from_range(identities()));
    Instance init({.user = user});
    Part part(init.await_helper("gpcsupd"));
    part.receive_set();
    part.send(KeepVerb::ready);
    base::Fd journal = make_memory("journal");
    part.keep(KeepClass::journal, 0, journal.get());
    part.settle();
    base::Fd state = open_state(init.pid());
    REQUIRE(state);
    std::uint32_t size = 0;
    REQUIRE(pread(state.get(), &size, sizeof size, 8) == sizeof size);
    size -= 24;  // before the wish to stop and the image were in it
    REQUIRE(ftruncate(state.get(), size) == 0);
    REQUIRE(pwrite(state.get(), &size, sizeof size, 8) == sizeof size);
    part.send(KeepVerb::reexec);
    expect_everything_kept(init, part, journal);
}

TEST_CASE("three fatal signals within ten seconds end it, and everything below it") {
    Instance init;
    Part part(init.await_helper("gpcsupd"));
    part.receive_set();
    pid_t service = 0;
    base::Fd orphans = part.start_service(service);
    for (int strike = 0; strike < 3; ++strike) {
        kill(init.pid(), SIGSEGV);
        if (strike < 2) {
            part.settle();
        }
    }
    std::optional<int> status = init.await_end();
    REQUIRE(status);
    CHECK(WEXITSTATUS(*status) == 70);
    CHECK(process_state(service) == "");
    CHECK(process_state(part.pid()) == "");
}

TEST_CASE("a listener reaches gpc-enforce through the handover socket, also when it comes later") {
    Instance init;
    Part supervisor(init.await_helper("gpcsupd"));
    std::vector<Letter> set = supervisor.receive_set();
    supervisor.send(KeepVerb::ready);
    const int handover = find(set, KeepClass::handover)->descriptor.get();
    base::Fd early = make_memory("early");
    base::Fd late = make_memory("late");
    base::Fd table = make_memory("table");
    supervisor.keep(KeepClass::enforcement_table, 0, table.get());
    CHECK(acknowledged(hand_over(handover, 41, early.get()).get()));
    start(supervisor, wire::HelperKind::enforce);
    Part enforce(init.await_helper("gpc-enforce"));
    std::vector<Letter> given = enforce.receive_set();
    enforce.send(KeepVerb::ready);
    CHECK(given.size() == 4);
    REQUIRE(find(given, KeepClass::listener, 41) != nullptr);
    CHECK(inode(find(given, KeepClass::listener, 41)->descriptor.get()) == inode(early.get()));
    REQUIRE(find(given, KeepClass::enforcement_table) != nullptr);
    CHECK(acknowledged(hand_over(handover, 42, late.get()).get()));
    std::optional<Letter> letter = enforce.await(KeepVerb::deliver);
    REQUIRE(letter);
    CHECK(letter->message.key.id == 42);
    CHECK(inode(letter->descriptor.get()) == inode(late.get()));
    enforce.drop(KeepClass::listener, 41);
    kill(enforce.pid(), SIGKILL);
    Part next(init.await_helper("gpc-enforce"));
    CHECK(find(next.receive_set(), KeepClass::listener, 41) == nullptr);
    // What gpc-enforce may not do is refused.
    next.keep(KeepClass::journal, 0, late.get());
    REQUIRE(next.await(KeepVerb::dropped));
    next.send(KeepVerb::stop, 0);
    CHECK(init.await_words("which only gpcsupd may"));
}

TEST_CASE("a helper that did not read gets the whole set once more") {
    Instance init;
    Part supervisor(init.await_helper("gpcsupd"));
    supervisor.receive_set();
    supervisor.send(KeepVerb::ready);
    start(supervisor, wire::HelperKind::logd);
    Part logs(init.await_helper("gpc-logd"));
    CHECK(logs.receive_set().empty());
    constexpr std::uint64_t count = 1500;  // far more than a socket takes
    base::Fd pipe = make_memory("pipe");
    for (std::uint64_t id = 1; id <= count; ++id) {
        supervisor.keep(KeepClass::log_pipe, id, pipe.get(), "unit" + std::to_string(id));
    }
    supervisor.drop(KeepClass::log_pipe, 3);
    supervisor.settle();  // all of it has been taken in
    std::map<std::uint64_t, std::string> names;
    bool complete = false;
    while (!complete) {
        std::optional<Letter> letter = logs.receive();
        REQUIRE(letter);
        if (letter->message.verb == KeepVerb::deliver) {
            names[letter->message.key.id] = letter->message.name;
        } else {
            complete = letter->message.verb == KeepVerb::delivered;
        }
    }
    CHECK(names.size() >= count - 1);
    CHECK(names[count] == "unit1500");
    supervisor.keep(KeepClass::log_pipe, count + 1, pipe.get(), "after");
    std::optional<Letter> letter = logs.await(KeepVerb::deliver);
    REQUIRE(letter);
    CHECK(letter->message.key.id == count + 1);
}

TEST_CASE("a helper that asks is told what is kept and what is not") {
    const uid_t user = GENERATE(from_range(identities()));
    Instance init({.user = user});
    Part part(init.await_helper("gpcsupd"));
    part.receive_set();
    base::Fd journal = make_memory("journal");
    wire::KeepMessage request;
    request.verb = KeepVerb::keep;
    request.argument = 17;
    request.key = {KeepClass::journal, 0, 0};
    part.send_message(request, journal.get());
    std::optional<Letter> letter = part.receive();
    REQUIRE(letter);
    CHECK(letter->message.verb == KeepVerb::kept);
    CHECK(letter->message.argument == 17);
    CHECK(letter->message.key.keep_class == KeepClass::journal);
    request.argument = 18;
    part.send_message(request, -1);
    letter = part.receive();
    REQUIRE(letter);
    CHECK(letter->message.verb == KeepVerb::dropped);
    CHECK(letter->message.argument == 18);
}

TEST_CASE("with too few descriptors it says so, refuses what it cannot keep, and lives") {
    Instance init({.descriptors = 64});
    Part part(init.await_helper("gpcsupd"));
    part.receive_set();
    part.send(KeepVerb::ready);
    base::Fd memory = make_memory("stored");
    for (std::uint64_t id = 1; id <= 80; ++id) {
        part.keep(KeepClass::log_writer, id, memory.get(), "stored");
    }
    REQUIRE(part.await(KeepVerb::dropped));
    CHECK(init.await_words("too many descriptors are open"));
    // What there is one of finds room still, and so does the socket of a successor.
    part.settle();
    part.keep(KeepClass::journal, 0, memory.get());
    part.settle();
    CHECK(init.words().find("cannot keep journal") == std::string::npos);
    {
        kill(part.pid(), SIGKILL);
        Part another(init.await_helper("gpcsupd"));
        CHECK(find(another.receive_set(), KeepClass::journal) != nullptr);
        part = std::move(another);
        part.send(KeepVerb::ready);
    }
    for (std::uint64_t id = 1; id <= 60; ++id) {
        part.drop(KeepClass::log_writer, id);
    }
    kill(part.pid(), SIGKILL);
    Part next(init.await_helper("gpcsupd"));
    CHECK(next.receive_set().size() >= 4);
}

}  // namespace gpcsup::tests
