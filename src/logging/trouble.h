#pragma once
// Which logs cannot be written at the moment, told to people: one line on standard error when a kind of
// trouble begins and when all is well again, and RUNTIME/logd.status (a place that does not depend on the log
// directory) with a line for each unit.

#include <map>
#include <string>

#include "base/result.h"
#include "logging/time_index.h"

namespace gpcsup::logging {

inline constexpr char trouble_file[] = "logd.status";

class Troubles {
  public:
    explicit Troubles(std::string runtime);
    void begin(const std::string& unit, const base::Error& error, RealTime now);
    void end(const std::string& unit);
    [[nodiscard]] bool none() const { return lines_.empty(); }
    // Brings the file up to date, once after any number of changes.
    void publish();

  private:
    struct Trouble {
        int code;
        std::string line;
    };
    [[nodiscard]] bool has(int code) const;
    std::string path_;
    std::map<std::string, Trouble> lines_;
    bool changed_ = true;  // a file of an earlier gpc-logd may be there
};

}  // namespace gpcsup::logging
