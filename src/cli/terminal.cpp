#include "cli/terminal.h"

#include <fcntl.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace gpcsup::cli {

namespace {

constexpr std::size_t most_buffered = 65536;

bool would_block(int code) {
    return code == EAGAIN || code == EINTR;
}

}  // namespace

base::Result<Pty> open_pty(int like) {
    termios settings{};
    winsize size{};
    const bool known = ::tcgetattr(like, &settings) == 0;
    const bool sized = ::ioctl(like, TIOCGWINSZ, &size) == 0;
    int master = -1;
    int slave = -1;
    if (::openpty(&master, &slave, nullptr, known ? &settings : nullptr, sized ? &size : nullptr) < 0) {
        return base::fail(errno, "open", "a pseudo-terminal");
    }
    Pty pty{base::Fd(master), base::Fd(slave)};
    for (const int descriptor : {master, slave}) {
        ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    }
    ::fcntl(master, F_SETFL, ::fcntl(master, F_GETFL) | O_NONBLOCK);
    return pty;
}

base::Result<RawMode> RawMode::enter(int descriptor) {
    termios before{};
    if (::tcgetattr(descriptor, &before) < 0) {
        return base::fail(errno, "read the settings of", "the terminal");
    }
    termios raw = before;
    ::cfmakeraw(&raw);
    if (::tcsetattr(descriptor, TCSADRAIN, &raw) < 0) {
        return base::fail(errno, "change the settings of", "the terminal");
    }
    return RawMode(descriptor, before);
}

RawMode::~RawMode() {
    if (descriptor_ >= 0) {
        ::tcsetattr(descriptor_, TCSADRAIN, &before_);
    }
}

Relay::Relay(int input, int output, base::Fd master)
    : input_(input),
      output_(output),
      own_output_(::open(("/proc/self/fd/" + std::to_string(output)).c_str(),
                         O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)),
      master_(std::move(master)) {
    if (own_output_) {
        output_ = own_output_.get();
    }
}

void Relay::watch(std::vector<pollfd>& into) {
    if (input_ended_ == Ended::no && master_ended_ == Ended::no && to_master_.size() < most_buffered) {
        into.push_back({input_, POLLIN, 0});
    }
    short events = to_output_.size() < most_buffered ? POLLIN : 0;
    events = static_cast<short>(events | (to_master_.empty() ? 0 : POLLOUT));
    if (master_ended_ == Ended::no && events != 0) {
        into.push_back({master_.get(), events, 0});
    }
    if (!to_output_.empty()) {
        into.push_back({output_, POLLOUT, 0});
    }
}

void Relay::tend(std::span<const pollfd> descriptors) {
    for (const pollfd& descriptor : descriptors) {
        if (descriptor.revents == 0) {
            continue;
        }
        if (descriptor.fd == input_ && (descriptor.events & POLLIN) != 0) {
            read_input();
        } else if (descriptor.fd == master_.get()) {
            if ((descriptor.revents & POLLOUT) != 0) {
                write_master();
            }
            if ((descriptor.revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
                read_master();
            }
        } else if (descriptor.fd == output_) {
            write_output();
        }
    }
}

void Relay::read_input() {
    std::array<char, 4096> buffer;
    const ssize_t length = ::read(input_, buffer.data(), buffer.size());
    if (length > 0) {
        to_master_.append(buffer.data(), static_cast<std::size_t>(length));
        write_master();
    } else if (length == 0 || !would_block(errno)) {
        input_ended_ = Ended::yes;
    }
}

// EIO: no slave is open any more, and everything written on it has been read.
void Relay::read_master() {
    std::array<char, 16384> buffer;
    const ssize_t length = ::read(master_.get(), buffer.data(), buffer.size());
    if (length > 0) {
        to_output_.append(buffer.data(), static_cast<std::size_t>(length));
        write_output();
    } else if (length == 0 || !would_block(errno)) {
        master_ended_ = Ended::yes;
        to_master_.clear();
    }
}

void Relay::write_master() {
    const ssize_t length = ::write(master_.get(), to_master_.data(), to_master_.size());
    if (length > 0) {
        to_master_.erase(0, static_cast<std::size_t>(length));
    }
}

void Relay::write_output() {
    // Without a non-blocking descriptor of our own, poll(2) said that there is room for a little.
    const std::size_t most = own_output_ ? to_output_.size() : std::min<std::size_t>(to_output_.size(), 256);
    const ssize_t length = ::write(output_, to_output_.data(), most);
    if (length > 0) {
        to_output_.erase(0, static_cast<std::size_t>(length));
    } else if (length < 0 && !would_block(errno)) {
        to_output_.clear();  // the terminal is gone: there is nobody to show it to
    }
}

void Relay::take_window_size(int from) {
    winsize size{};
    if (::ioctl(from, TIOCGWINSZ, &size) == 0) {
        ::ioctl(master_.get(), TIOCSWINSZ, &size);
    }
}

void Relay::drain(std::chrono::milliseconds patience) {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point end = Clock::now() + patience;
    input_ended_ = Ended::yes;
    to_master_.clear();
    for (;;) {
        std::vector<pollfd> descriptors;
        watch(descriptors);
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
        if (descriptors.empty() || left.count() <= 0) {
            return;
        }
        if (::poll(descriptors.data(), descriptors.size(), static_cast<int>(left.count())) > 0) {
            tend(descriptors);
        }
    }
}

}  // namespace gpcsup::cli
