#pragma once
// The attributes of the tests: a few with the names of the real ones, and one controller that exists in no
// product.

#include <algorithm>
#include <cerrno>

#include "config/catalogue.h"

namespace gpcsup::config::test {

class FakeCatalogue : public AttributeCatalogue {
  public:
    base::Result<std::string> check(std::string_view attribute, ValueKind kind,
                                    std::string_view text) const override {
        if (attribute == "cpuacct.usage") {
            return base::refuse(EACCES, "cpuacct.usage can only be read");
        }
        const bool is_number =
            !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
        if (attribute.ends_with(".limit") && !(is_number && kind == ValueKind::integer) && text != "max") {
            return base::refuse(EINVAL,
                                "expected a whole number or \"max\", found \"" + std::string(text) + "\"");
        }
        return std::string(text);
    }
    std::vector<std::string> names() const override {
        return {"cpuset.cpus",       "cpuset.cpu_exclusive", "cpuacct.usage", "numtasks.limit",
                "numtasks.forkrate", "numfiles.limit",       "sample.colour", "group.owner"};
    }
    std::vector<std::string> controllers() const override {
        return {"cpuset", "memset", "cpuacct", "numtasks", "numfiles", "sample"};
    }
};

}  // namespace gpcsup::config::test
