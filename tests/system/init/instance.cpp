#include "instance.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace gpcsup::tests {

namespace {

namespace files = std::filesystem;

std::string program_directory(const char* variable) {
    const char* directory = getenv(variable);
    REQUIRE(directory != nullptr);
    return directory;
}

bool await_readable(int descriptor, milliseconds time) {
    pollfd place{descriptor, POLLIN, 0};
    return poll(&place, 1, static_cast<int>(time.count())) > 0;
}

struct Packet {
    ssize_t length = -1;
    base::Fd descriptor;
};

Packet receive_packet(int from, void* data, std::size_t size) {
    Packet packet;
    iovec part{data, size};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    packet.length = recvmsg(from, &header, MSG_CMSG_CLOEXEC);
    if (cmsghdr* item = CMSG_FIRSTHDR(&header); packet.length > 0 && item != nullptr) {
        int number = -1;
        memcpy(&number, CMSG_DATA(item), sizeof number);
        packet.descriptor.reset(number);
    }
    return packet;
}

void send_packet(int to, const void* data, std::size_t size, int descriptor) {
    iovec part{const_cast<void*>(data), size};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (descriptor >= 0) {
        header.msg_control = control;
        header.msg_controllen = sizeof control;
        cmsghdr* item = CMSG_FIRSTHDR(&header);
        item->cmsg_level = SOL_SOCKET;
        item->cmsg_type = SCM_RIGHTS;
        item->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(item), &descriptor, sizeof descriptor);
    }
    (void)sendmsg(to, &header, MSG_NOSIGNAL);
}

}  // namespace

void Part::send_message(const wire::KeepMessage& message, int descriptor) {
    send_packet(keeper_.get(), &message, sizeof message, descriptor);
}

void Part::send(wire::KeepVerb verb, std::uint64_t argument) {
    wire::KeepMessage message;
    message.verb = verb;
    message.argument = argument;
    send_message(message, -1);
}

void Part::keep(wire::KeepClass keep_class, std::uint64_t id, int descriptor, const std::string& name) {
    wire::KeepMessage message;
    message.verb = wire::KeepVerb::keep;
    message.key = {keep_class, 0, id};
    name.copy(message.name, sizeof message.name - 1);
    send_message(message, descriptor);
}

void Part::drop(wire::KeepClass keep_class, std::uint64_t id) {
    wire::KeepMessage message;
    message.verb = wire::KeepVerb::drop;
    message.key = {keep_class, 0, id};
    send_message(message, -1);
}

// It answers what it cannot do.
void Part::settle() {
    static std::uint64_t questions = 0;
    wire::KeepMessage message;
    message.verb = wire::KeepVerb::keep;
    message.key = {wire::KeepClass::exit_ring, 0, 0};
    message.argument = ++questions + (std::uint64_t{1} << 32);
    send_message(message, -1);
    std::optional<Letter> answer;
    do {
        answer = receive();
        REQUIRE(answer);
    } while (answer->message.argument != message.argument);
}

std::optional<Letter> Part::receive(milliseconds time) {
    if (!await_readable(keeper_.get(), time)) {
        return std::nullopt;
    }
    Letter letter;
    Packet packet = receive_packet(keeper_.get(), &letter.message, sizeof letter.message);
    if (packet.length != static_cast<ssize_t>(sizeof letter.message)) {
        return std::nullopt;
    }
    letter.descriptor = std::move(packet.descriptor);
    return letter;
}

std::optional<Letter> Part::await(wire::KeepVerb verb, milliseconds time) {
    const auto deadline = std::chrono::steady_clock::now() + time;
    for (;;) {
        const auto left =
            std::chrono::duration_cast<milliseconds>(deadline - std::chrono::steady_clock::now());
        std::optional<Letter> letter = receive(std::max(left, milliseconds(0)));
        if (!letter || letter->message.verb == verb) {
            return letter;
        }
        if (letter->message.verb == wire::KeepVerb::ping) {
            send(wire::KeepVerb::pong, letter->message.argument);
        }
    }
}

std::vector<Letter> Part::receive_set() {
    std::vector<Letter> letters;
    for (;;) {
        std::optional<Letter> letter = receive();
        REQUIRE(letter);
        if (letter->message.verb == wire::KeepVerb::delivered) {
            return letters;
        }
        if (letter->message.verb == wire::KeepVerb::deliver) {
            CHECK(letter->descriptor);
            letters.push_back(std::move(*letter));
        }
    }
}

base::Fd Part::start_service(pid_t& pid) {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    base::Fd own(ends[0]);
    base::Fd other(ends[1]);
    FakeCommand command{};
    send_packet(connection_.get(), &command, sizeof command, other.get());
    FakeService service{};
    REQUIRE(await_readable(connection_.get(), patience));
    REQUIRE(recv(connection_.get(), &service, sizeof service, 0) == static_cast<ssize_t>(sizeof service));
    pid = service.pid;
    return own;
}

Instance::Instance(Setup setup) : setup_(std::move(setup)) {
    prctl(PR_SET_CHILD_SUBREAPER, 1);  // so that whatever is left can be found and ended
    char path[] = "/tmp/gpc-init-test.XXXXXX";
    REQUIRE(mkdtemp(path) != nullptr);
    directory_ = path;
    files::create_directory(directory_ + "/bin");
    files::create_directory(logs());
    files::copy(program_directory("GPCSUP_PROGRAMS") + "/gpc-init", directory_ + "/bin/gpc-init");
    const std::string fake = program_directory("GPCSUP_SUPPORT") + "/fake_helper";
    for (const char* name : {"gpcsupd", "gpc-enforce", "gpc-logd"}) {
        const bool real = setup_.real_logd && std::string(name) == "gpc-logd";
        files::copy(real ? program_directory("GPCSUP_PROGRAMS") + "/gpc-logd" : fake,
                    directory_ + "/bin/" + name);
    }
    listener_.reset(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string socket_path = directory_ + "/fake.sock";
    socket_path.copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(listen(listener_.get(), 16) == 0);
    if (geteuid() == 0) {
        for (const std::string& part : {directory_, socket_path, logs()}) {
            REQUIRE(chown(part.c_str(), setup_.user, setup_.user) == 0);
        }
    }
    pid_ = launch(directory_ + "/words");
}

pid_t Instance::launch(const std::string& words_file) {
    std::vector<std::string> arguments = {directory_ + "/bin/gpc-init"};
    if (setup_.name_runtime) {
        arguments.insert(arguments.end(), {"--runtime", runtime()});
    }
    for (std::string& variable : setup_.environment) {
        if (const auto place = variable.find("$DIRECTORY"); place != std::string::npos) {
            variable.replace(place, strlen("$DIRECTORY"), directory_);
        }
    }
    arguments.insert(arguments.end(), setup_.arguments.begin(), setup_.arguments.end());
    std::vector<std::string> environment = setup_.environment;  // first: the first of a name counts
    for (const std::string& variable :
         {std::string("PATH=/usr/bin:/bin"), fake_variable + ("=" + directory_ + "/fake.sock"),
          wire::logs_variable + ("=" + logs())}) {
        environment.push_back(variable);
    }
    std::vector<char*> argument_pointers;
    std::vector<char*> environment_pointers;
    for (std::string& argument : arguments) {
        argument_pointers.push_back(argument.data());
    }
    for (std::string& variable : environment) {
        environment_pointers.push_back(variable.data());
    }
    argument_pointers.push_back(nullptr);
    environment_pointers.push_back(nullptr);
    base::Fd words(open(words_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
    if (setup_.nobody_reads) {
        int ends[2];
        REQUIRE(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
        unread_.reset(ends[0]);
        words.reset(ends[1]);
        const std::string filling(65536, '.');
        while (write(words.get(), filling.data(), filling.size()) > 0) {
        }
        fcntl(words.get(), F_SETFL, O_WRONLY);  // what writes there now waits
    }
    const long flags = SIGCHLD | (setup_.own_namespace ? CLONE_NEWPID | CLONE_NEWNS : 0);
    pid_t pid = static_cast<pid_t>(syscall(SYS_clone, flags, nullptr, nullptr, nullptr, 0));
    REQUIRE(pid >= 0);
    if (pid == 0) {
        dup2(words.get(), STDOUT_FILENO);
        dup2(words.get(), STDERR_FILENO);
        if (setup_.bare) {
            mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
            mount("tmpfs", "/dev", "tmpfs", 0, nullptr);
            close_range(0, ~0u, 0);
        }
        if (setup_.descriptors != 0) {
            rlimit limit{setup_.descriptors, setup_.descriptors};
            setrlimit(RLIMIT_NOFILE, &limit);
        }
        if (setup_.real_time_us != 0) {
            rlimit limit{setup_.real_time_us, RLIM_INFINITY};
            setrlimit(RLIMIT_RTTIME, &limit);
        }
        if (setup_.user != 0 && geteuid() == 0 &&
            (setresgid(setup_.user, setup_.user, setup_.user) < 0 ||
             setresuid(setup_.user, setup_.user, setup_.user) < 0)) {
            _exit(99);
        }
        execve(argument_pointers[0], argument_pointers.data(), environment_pointers.data());
        _exit(98);
    }
    return pid;
}

Instance::~Instance() {
    if (!ended_) {
        kill(pid_, SIGKILL);
    }
    // What it leaves comes to us, the subreaper.
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (std::chrono::steady_clock::now() < deadline) {
        std::istringstream children(read_file("/proc/thread-self/children"));
        for (pid_t child = 0; children >> child;) {
            kill(child, SIGKILL);
        }
        if (waitpid(-1, nullptr, __WALL) < 0) {
            break;
        }
    }
    std::error_code ignored;
    files::remove_all(directory_, ignored);
}

Part Instance::await_helper(const std::string& name, milliseconds time) {
    Part part = await_any_helper(time);
    INFO(words());
    REQUIRE(part.name() == name);
    return part;
}

Part Instance::await_any_helper(milliseconds time) {
    const bool came = await_readable(listener_.get(), time);
    INFO(words());
    REQUIRE(came);
    base::Fd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    REQUIRE(connection);
    FakeHello hello{};
    Packet packet = receive_packet(connection.get(), &hello, sizeof hello);
    REQUIRE(packet.length == static_cast<ssize_t>(sizeof hello));
    REQUIRE(packet.descriptor);
    return {hello, std::move(packet.descriptor), std::move(connection)};
}

std::string Instance::words() const {
    return read_file(directory_ + "/words");
}

bool Instance::await_words(const std::string& text, milliseconds time) const {
    return await_true([&] { return words().find(text) != std::string::npos; }, time);
}

std::optional<int> Instance::await_end(milliseconds time) {
    base::Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
    if (!await_readable(pidfd.get(), time)) {
        return std::nullopt;
    }
    int status = 0;
    REQUIRE(waitpid(pid_, &status, 0) == pid_);
    ended_ = true;
    return status;
}

Instance::Outcome Instance::run_second() {
    const std::string words_file = directory_ + "/second";
    pid_t second = launch(words_file);
    int status = 0;
    REQUIRE(waitpid(second, &status, 0) == second);
    return {status, read_file(words_file)};
}

Ring::Ring(int descriptor)
    : ring_(static_cast<wire::ExitRing*>(
          mmap(nullptr, sizeof(wire::ExitRing), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0))) {
    REQUIRE(ring_ != MAP_FAILED);
    REQUIRE(ring_->version == wire::exit_ring_version);
    REQUIRE(ring_->capacity == wire::exit_ring_capacity);
}

Ring::~Ring() {
    munmap(ring_, sizeof(wire::ExitRing));
}

std::vector<wire::ExitRecord> Ring::fold() {
    std::vector<wire::ExitRecord> records;
    while (tail() != head()) {
        records.push_back(ring_->records[tail() % wire::exit_ring_capacity]);
        CHECK(records.back().sequence == tail());
        ring_->tail.store(tail() + 1, std::memory_order_release);
    }
    return records;
}

const Letter* find(const std::vector<Letter>& letters, wire::KeepClass keep_class, std::uint64_t id) {
    for (const Letter& letter : letters) {
        if (letter.message.key.keep_class == keep_class && letter.message.key.id == id) {
            return &letter;
        }
    }
    return nullptr;
}

std::string read_file(const std::string& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

std::uint64_t inode(int descriptor) {
    struct stat about {};
    REQUIRE(fstat(descriptor, &about) == 0);
    return about.st_ino;
}

std::string process_state(pid_t pid) {
    const std::string text = read_file("/proc/" + std::to_string(pid) + "/stat");
    const auto place = text.rfind(')');
    return place == std::string::npos ? "" : text.substr(place + 2, 1);
}

bool is_alive(pid_t pid) {
    const std::string state = process_state(pid);
    return !state.empty() && state != "Z" && state != "X";
}

long status_number(pid_t pid, const char* field) {
    const std::string text = read_file("/proc/" + std::to_string(pid) + "/status");
    const auto place = text.find(std::string(field) + ":");
    REQUIRE(place != std::string::npos);
    return std::stol(text.substr(place + strlen(field) + 1));
}

int count_children(pid_t pid, char state) {
    const std::string number = std::to_string(pid);
    std::istringstream children(read_file("/proc/" + number + "/task/" + number + "/children"));
    int count = 0;
    for (pid_t child = 0; children >> child;) {
        count += state == 0 || process_state(child) == std::string(1, state) ? 1 : 0;
    }
    return count;
}

bool await_true(const std::function<bool()>& condition, milliseconds time) {
    const auto deadline = std::chrono::steady_clock::now() + time;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) {
            return false;
        }
        usleep(2000);  // /proc has no event for this
    }
    return true;
}

std::vector<uid_t> identities() {
    return geteuid() == 0 ? std::vector<uid_t>{0, 65534} : std::vector<uid_t>{geteuid()};
}

}  // namespace gpcsup::tests
