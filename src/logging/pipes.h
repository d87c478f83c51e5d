#pragma once
// The pipes that gpc-logd was given, each with the log its bytes go to, watched by one epoll set. Pipes whose
// log cannot be written are left alone, with their bytes in them, until retry().

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "logging/log_file.h"
#include "logging/trouble.h"

namespace gpcsup::logging {

class Pipes {
  public:
    using Clock = std::function<RealTime()>;
    Pipes(std::string directory, Troubles troubles, Clock clock, LogLimits limits = {});

    // Readable when some pipe is: then serve().
    [[nodiscard]] int epoll() const { return epoll_.get(); }
    // KEY is the unit's number; a pipe known under it already is replaced, after it has been emptied.
    void add(std::uint64_t key, const std::string& name, base::Fd pipe);
    // Forgets it as soon as what is in it has been written.
    void drop(std::uint64_t key);
    // Between these two, what is not added has been dropped; what is dropped is written at the end of the
    // set, the older before the younger, in whatever order they came.
    void begin_set();
    void end_set();
    // The keys of dropped pipes that are written to their end by now; each is told once.
    [[nodiscard]] std::vector<std::uint64_t> take_finished();
    // One bounded round over the pipes that have something.
    void serve();
    // Tries the logs again that could not be written.
    void retry();
    [[nodiscard]] bool in_trouble() const;
    // All that is in any pipe is written, as far as that can be.
    [[nodiscard]] bool drained();
    [[nodiscard]] std::size_t count() const { return pipes_.size(); }
    [[nodiscard]] std::size_t logs() const { return logs_.size(); }
    // Says what of it could not be written, before the end.
    void report_lost() const;

  private:
    struct Log {  // shared by the pipes of one name: a unit that was restarted may have two for a moment
        std::string name;
        LogFile file;
    };
    struct Pipe {
        std::uint64_t key = 0;
        base::Fd end;
        std::shared_ptr<Log> log;
        bool watched = false;
        bool closing = false;  // dropped: goes when it is empty
        bool seen = false;     // in the set that is being sent
        bool dropped = false;  // in that set: closing at its end
        bool ended = false;    // no writer: nothing will come any more
        bool troubled = false;
    };
    using Serial = std::uint64_t;

    std::shared_ptr<Log> log_of(const std::string& name);
    void forget_log(const std::shared_ptr<Log>& log);  // by the pipe that goes
    [[nodiscard]] std::map<Serial, Pipe>::iterator find(std::uint64_t key);
    void watch(Serial serial, Pipe& pipe);
    void unwatch(Pipe& pipe);
    void finish(std::map<Serial, Pipe>::iterator place);
    enum class Fate { stays, more, forgotten };  // more: the bound of one round was reached
    Fate serve_one(std::map<Serial, Pipe>::iterator place);
    base::Result<Moved> take(Pipe& pipe);
    [[nodiscard]] bool must_wait(const Pipe& pipe) const;
    void close_files();
    void retry_troubled();

    std::string directory_;
    Troubles troubles_;
    Clock clock_;
    LogLimits limits_;
    base::Fd epoll_;
    std::map<Serial, Pipe> pipes_;
    std::map<std::string, std::weak_ptr<Log>> logs_;  // of the pipes there are, and no more
    Serial next_serial_ = 1;
    std::vector<std::uint64_t> finished_;
    bool freed_space_ = false;
    bool in_set_ = false;
};

}  // namespace gpcsup::logging
