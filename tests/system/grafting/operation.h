#pragma once
// A victim (tests/support/graftee), the real gpc-graft on it, and this process in the place of gpc-init (it
// is handed the listener) and of gpc-enforce (it answers what the filter traps).

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "wire/graft.h"

namespace gpcsup::test {

using base::Fd;
using namespace std::chrono_literals;

std::string program(const std::string& name);          // of the product, in the build tree
std::string support_program(const std::string& name);  // of tests/support
bool possible();  // as root, and where ptrace of our own children is permitted; else it says that it skips

bool readable(int descriptor, std::chrono::milliseconds within);
std::string status_line(pid_t process, pid_t thread, const std::string& name);
std::vector<pid_t> threads_of(pid_t process);
int filtered_threads(pid_t process);
int listeners_in(pid_t process);  // descriptors of seccomp listeners, in the tables of all its threads

class Victim {
  public:
    struct Options {
        std::optional<uid_t> user;
        enum class Promise { none, made } promise = Promise::none;
        std::string executable;  // empty: graftee
    };
    explicit Victim(std::vector<std::string> roles) : Victim(std::move(roles), Options()) {}
    Victim(std::vector<std::string> roles, const Options& options);
    ~Victim();
    Victim(const Victim&) = delete;
    Victim& operator=(const Victim&) = delete;

    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] std::uint64_t start_time() const;
    std::string ask(char letter);  // one line; "silent" when it does not answer in time
    void tell(char letter) const;
    std::string hear(std::chrono::milliseconds within = 20s);

  private:
    pid_t pid_ = -1;
    Fd input_;
    Fd output_;
    std::string buffer_;
};

// Keeps what is handed over, and answers for it: everything may go on, or forks are refused.
class Keeper {
  public:
    Keeper();
    ~Keeper();
    Keeper(const Keeper&) = delete;
    Keeper& operator=(const Keeper&) = delete;
    [[nodiscard]] int theirs() const { return theirs_.get(); }
    [[nodiscard]] int handed_over() const { return handed_over_; }
    [[nodiscard]] int trapped() const { return trapped_; }
    void refuse(int error) { refuse_ = error; }  // EAGAIN for forks; 0 = go on
    void forget();  // a predecessor's listeners: closed here, as by a gpc-init that never had them

  private:
    void run();
    void hear();
    void answer(int listener) const;

    Fd ours_;
    Fd theirs_;
    Fd stop_;
    std::vector<Fd> listeners_;
    std::atomic<int> handed_over_ = 0;
    mutable std::atomic<int> trapped_ = 0;
    std::atomic<int> refuse_ = 0;
    std::atomic<int> forget_ = 0;
    std::thread thread_;
};

struct Helper {  // a gpc-graft under way
    pid_t pid = -1;
    Fd socket;
};

enum class Filter { tasks, files };
Helper start_graft(const Victim& victim, const Keeper& keeper, wire::GraftMode mode = wire::GraftMode::fresh,
                   Filter filter = Filter::tasks, std::chrono::milliseconds timeout = 15s,
                   const std::function<void()>& before = {});
std::optional<wire::GraftAnswer> await_answer(Helper& helper, std::chrono::milliseconds within = 20s);
wire::GraftAnswer graft(const Victim& victim, const Keeper& keeper,
                        wire::GraftMode mode = wire::GraftMode::fresh, Filter filter = Filter::tasks,
                        std::chrono::milliseconds timeout = 15s);

}  // namespace gpcsup::test
