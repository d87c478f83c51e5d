#include "cli/app.h"

int main(int count, char** arguments) {
    return gpcsup::cli::run_program(
        std::vector<std::string>(arguments + (count > 0 ? 1 : 0), arguments + count));
}
