fn main() {
    print!("{}", quiver::api::openapi_json());
}
