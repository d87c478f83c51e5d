#pragma once
// A command line, taken apart by the table of verbs.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/verbs.h"

namespace gpcsup::cli {

class Arguments {
  public:
    enum class Asks { run, help, version };

    const Verb* verb = nullptr;  // null: --help or --version of the whole program
    Asks asks = Asks::run;
    std::vector<std::string> words;  // positionals, or the command of `run`

    // By an option's longest name: "--signal".
    [[nodiscard]] bool has(std::string_view option) const;
    [[nodiscard]] std::optional<std::string> value(std::string_view option) const;  // the last one given
    [[nodiscard]] std::vector<std::string> values(std::string_view option) const;
    void give(std::string option, std::string value) {
        options_[std::move(option)].push_back(std::move(value));
    }

  private:
    std::map<std::string, std::vector<std::string>, std::less<>> options_;
};

// EINVAL with a hint for what cannot be understood ("did you mean …?").
base::Result<Arguments> parse_arguments(const std::vector<std::string>& arguments);

// Which verb is meant, also where the rest cannot be understood; null for none that there is.
const Verb* meant_verb(std::vector<std::string> arguments);

}  // namespace gpcsup::cli
